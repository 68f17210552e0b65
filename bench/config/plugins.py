"""Objects that other packages and files offer: by entry point, or by ``module:attribute`` without packaging."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.config.file_names import path_of
from bench.errors import ConfigError


class ModuleMissingError(ConfigError):
    """There is no module of this name."""


@dataclass(frozen=True)
class Plugin:
    """An entry point of another package.

    Attributes:
        name: what it is called.
        entry: where it is.
    """

    name: str
    entry: EntryPoint

    @property
    def source(self) -> str:
        """The distribution that it comes from, or its module where that has no name."""
        return self.entry.dist.name if self.entry.dist is not None else self.entry.module

    def load(self) -> Any:
        """The object that the entry point names.

        Raises:
            ConfigError: it cannot be loaded; the message says why.
        """
        return _guarded(self.entry.load, f"{self.entry.group} {self.name!r} of {self.source} ({self.entry.value})")

    def load_or_none(self) -> Any:
        """As :meth:`load`, None where it cannot be loaded."""
        try:
            return self.load()
        except ConfigError:
            return None


def entry_points_of(group: str) -> list[Plugin]:
    """What other packages offer in ``group``, by name."""
    found = {entry.name: Plugin(entry.name, entry) for entry in entry_points(group=group)}
    return [found[name] for name in sorted(found)]


def is_reference(name: str) -> bool:
    """Whether ``name`` reads as ``package.module:attribute`` or ``path/to/file.py:attribute``."""
    module, colon, attribute = name.rpartition(":")
    return bool(colon) and attribute.isidentifier() and (module.endswith(".py") or _is_dotted(module))


def file_of(name: str) -> Path | None:
    """The file in ``path/to/file.py:attribute``; None for any other name."""
    module, _, _ = name.rpartition(":")
    return path_of(module) if is_reference(name) and module.endswith(".py") else None


@cache
def load_reference(reference: str) -> Any:
    """The object at ``package.module:attribute`` or ``path/to/file.py:attribute``.

    A module is looked for where Python finds modules, and last in the current folder; a file's own folder is searched
    last, too, for what the file imports.

    Raises:
        ConfigError: there is no such module, file or attribute, or it cannot be loaded.
    """
    module_name, _, attribute = reference.rpartition(":")
    load: Callable[[], ModuleType]
    if module_name.endswith(".py"):
        path = path_of(module_name)
        try:
            exists = path.is_file()
        except OSError as error:  # as of a name that is too long
            raise ConfigError(f"{reference}: {path} cannot be read: {error.strerror}") from None
        if not exists:
            raise ConfigError(f"{reference}: there is no file {path.absolute()}")
        load = partial(_load_file, path.resolve())
        _search_last(path.resolve().parent)
    else:
        _search_last(Path.cwd())
        if not _exists(module_name):
            raise ModuleMissingError(f"there is no module {module_name!r}")
        load = partial(importlib.import_module, module_name)
    module = _guarded(load, reference)
    if not hasattr(module, attribute):
        names = ", ".join(sorted(name for name in vars(module) if not name.startswith("_")))
        raise ConfigError(f"{reference}: {module_name} has no attribute {attribute!r}; it has: {names or 'none'}")
    return getattr(module, attribute)


def resolve(target: Any) -> Any:
    """``target`` itself, or what it names where it is a text ``package.module:attribute``: so a row needs no torch."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def parameters_of(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the parameters of ``function``; none where Python cannot tell."""
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return frozenset()


def call_with_known(function: Callable[..., Any], known: Mapping[str, Any], usual: Sequence[str], what: str) -> Any:
    """Calls ``function`` with those of ``known`` that it names.

    Args:
        function: what another package or a person has written.
        known: arguments by name.
        usual: the names of positional arguments, in order, for a function that calls them otherwise.
        what: names the function in an error.

    Raises:
        ConfigError: it needs an argument that is not known.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function(*(known[name] for name in usual))
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**known)
    named = {parameter.name: known[parameter.name] for parameter in parameters if parameter.name in known}
    needed = [parameter for parameter in parameters if parameter.default is parameter.empty]
    needed = [parameter for parameter in needed if parameter.kind is not parameter.VAR_POSITIONAL]
    unknown_names = [parameter.name for parameter in needed if parameter.name not in known]
    if not unknown_names and not any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in needed):
        return function(**named)
    if len(needed) == len(usual):
        return function(*(known[name] for name in usual))
    raise ConfigError(
        f"{what} needs the argument {unknown_names[0] if unknown_names else needed[0].name!r}; legal: "
        f"{', '.join(known)}, or the {len(usual)} arguments {', '.join(usual)} in this order"
    )


def _guarded(load: Callable[[], Any], what: str) -> Any:
    """What ``load`` gives; whatever it raises, also ``sys.exit``, becomes an error that names ``what``."""
    try:
        return load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error


def _exists(module: str) -> bool:
    """Whether Python finds ``module``; a package around it is imported for that."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False
    except (Exception, SystemExit):  # the package around it fails, which loading it tells
        return True


def _load_file(path: Path) -> ModuleType:
    name = f"sid_bench_file_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _search_last(folder: Path) -> None:
    """Appends ``folder`` to the module search path: after all else, so that it replaces no installed module."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
