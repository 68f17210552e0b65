"""The files beside a user's own file that it imports, found without running any of them."""

import ast
import importlib.util
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.config.plugins import file_of, is_reference

_OF_SID_BENCH = {"bench", "sid_core"}  # a record names their commit


def with_imports(files: Iterable[Path], folder: Path) -> list[Path]:
    """Return ``files``, and the files in ``folder`` that they import, directly or through each other.

    A text ``"package.module:function"``, as a method names its code, counts as an import. A module that Python finds
    elsewhere is left out: the folder of a file is searched last. So is what is imported by a name that is computed, or
    through ``importlib``. A file that cannot be read or parsed counts as one that imports nothing.

    Args:
        files: in ``folder``, or in folders in it.
        folder: an absolute path without links.
    """
    found = dict.fromkeys(files)
    waiting = list(found)
    while waiting:
        for imported in _imported(waiting.pop(), folder):
            if imported not in found:
                found[imported] = None
                waiting.append(imported)
    return list(found)


def files_of_module(folder: Path, module: str) -> list[Path]:
    """Return the files that Python runs to import ``module``, ``package.module``, if it finds them in ``folder``."""
    return list(_files_of(folder, module.split(".")))


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts that are not legal
            tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                if node.level:
                    package = file.parents[min(node.level, len(file.parents)) - 1]
                    if package.is_relative_to(folder):
                        yield from _files_along(package, [*parts, alias.name])
                else:
                    yield from _files_of(folder, [*parts, alias.name])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_in_module(node.value):
            yield from _files_of(folder, node.value.rpartition(":")[0].split("."))


def _is_in_module(text: str) -> bool:
    """Whether ``text`` reads as ``package.module:attribute``."""
    return is_reference(text) and file_of(text) is None


def _files_of(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files of a module that is named in full, if Python finds its package in ``folder``."""
    if parts[0] not in _OF_SID_BENCH and _is_in(folder, parts[0]):
        yield from _files_along(folder, parts)


def _files_along(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The files that Python runs to import ``parts``, each a package, a module or a name in one, from ``folder``."""
    for part in parts:
        package, module = folder / part / "__init__.py", folder / f"{part}.py"
        found = next((path for path in (package, module) if os.path.isfile(path)), None)  # noqa: PTH113, which may raise
        if found is not None:
            yield found
        folder /= part


def _is_in(folder: Path, name: str) -> bool:
    """Whether Python, which searches ``folder`` last, finds nothing called ``name`` elsewhere."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return True
    places = [Path(place).resolve() for place in (spec.origin, *(spec.submodule_search_locations or ())) if place]
    return any(place in (folder / name, folder / f"{name}.py", folder / name / "__init__.py") for place in places)
