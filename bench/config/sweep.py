"""A sweep: grids of axes in a TOML file, expanded into cells.

A suite file has one or more ``[[grid]]`` tables, and may have a ``description`` and a ``question``, which is the title
of its report if it comes with the package, and a table ``[common]``, whose keys belong to every grid that does not have
them itself. Each key is an axis (:mod:`bench.config.axes`); its value is one value or a list, and the cells of a grid
are the product of all lists. A list in a list is one value: ``alpha = [[0.3, 0.7]]`` is one alpha per module, and so is
``alpha = "0.9..0.1"``, for any number of them. ``passes`` is different: its list belongs to each cell. ``modules`` also
takes ``"depth"`` and ``"depth/N"``; depths that N does not divide leave the latter out.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.file_names import escaped
from bench.config.methods import load_method, method_names
from bench.config.plugins import file_of
from bench.config.toml_file import read_toml
from bench.errors import ConfigError, unknown

Axes = Mapping[str, Sequence[Any]]

_MODULES_EXPRESSION = re.compile(r"depth(?:/([0-9]{1,18}))?")
_SUITES = resources.files("bench.config") / "suites"
EVERY_METHOD = "every-method"
_TEXTS = ("description", "question")


@dataclass(frozen=True)
class Sweep:
    """A named list of cells, each once, in the order of the file.

    Attributes:
        name: of the suite.
        description: what it measures.
        question: what it is to answer; empty where the file does not say.
        cells: what is measured.
        left_out: methods that take none of the cells, each with the reason.
        suite_file: the TOML file; None for a sweep without a suite.
    """

    name: str
    description: str
    cells: tuple[Cell, ...]
    question: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    suite_file: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that the sweep depends on: the suite, and what its cells name as ``FILE.py:ATTRIBUTE``."""
        texts = {value for cell in self.cells for value in cell.model_dump().values() if isinstance(value, str)}
        return [file for file in (self.suite_file, *map(file_of, sorted(texts))) if file is not None]


def suite_names() -> list[str]:
    """The names of the suites that come with the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _SUITES.iterdir() if entry.name.endswith(".toml"))


def load_sweep(suite: str | None, overrides: Iterable[str] = (), only: Iterable[str] = ()) -> Sweep:
    """The sweep in a named suite or a TOML file.

    Args:
        suite: a name from :func:`suite_names`, or the path of a file that ends in ``.toml``; None: one cell per method
            that takes what ``overrides`` say, on synthetic images unless they name a data set.
        overrides: texts ``AXIS=VALUE,VALUE``; each replaces the axis in every grid.
        only: texts ``AXIS=VALUE,VALUE``; of the cells, each keeps those that have one of the values.

    Raises:
        ConfigError: no such suite or file, the file is not legal, or a cell is not; no cell is kept; or ``overrides``
            give an axis twice.
    """
    replaced = parse_overrides(overrides)
    kept = [parse_override(text, "--only") for text in only]
    if suite is None:
        return _narrow(_every_method(replaced), kept, [replaced])
    path = _path_of(suite)
    content = _content(suite, path)
    grids = content.get("grid", [])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids) or not grids:
        raise ConfigError(f"{suite} has no [[grid]]; legal: one or more, each a table of axes")
    common = _common(suite, content)
    cells: dict[Cell, None] = {}  # keeps the order, and each cell once
    offered: list[Axes] = []
    is_left = False  # a grid with values on every axis
    for number, grid in enumerate(grids, start=1):
        try:
            offered.append({axis: _as_list(axis, value) for axis, value in {**common, **grid}.items()} | replaced)
            narrowed = _narrowed(offered[-1], kept)
            is_left = is_left or all(narrowed.values())
            cells.update(dict.fromkeys(_expand(narrowed)))
        except ConfigError as error:
            raise ConfigError(f"{suite}, grid {number}: {error}") from None
    if is_left and not cells:
        kept_text = "" if not kept else " that --only keeps"
        raise ConfigError(f"{suite} has no cell: its 'depth/N' divides none of its depths{kept_text}")
    texts = {name: content.get(name, "") for name in _TEXTS}
    sweep = Sweep(path.stem, cells=tuple(cells), suite_file=path, **texts)
    return _narrow(sweep, kept, offered)


def question_of(suite: str) -> str | None:
    """The question of a suite that comes with the package; None for any other name."""
    if suite not in suite_names():
        return None
    return str(_content(suite, _path_of(suite))["question"])


def _content(suite: str, path: Path) -> dict[str, Any]:
    """What the file of a suite holds, its keys and its texts checked."""
    content = read_toml(path, suite)
    legal = [*_TEXTS, "common", "grid"]
    strange = sorted(set(content) - set(legal))
    if strange:
        raise ConfigError(f"{suite}: {unknown('key', strange[0], legal)}")
    for name in _TEXTS:
        value = content.get(name, "")
        if not isinstance(value, str) or "\n" in value.strip():
            raise ConfigError(f"{suite}: {name} = {value!r}; legal: a text of one line")
    return content


def _common(suite: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The axes that a suite's file gives for every grid."""
    common = content.get("common", {})
    if not isinstance(common, dict):
        raise ConfigError(f"{suite}: common = {common!r}; legal: a table of axes, [common]")
    for axis in common:
        if axis not in axes():
            raise ConfigError(f"{suite}, common: {unknown('axis', axis, axes())}")
    return common


def _every_method(replaced: Axes) -> Sweep:
    """One sweep for all methods that take the other axes; those that do not are left out with their reasons."""
    grid: Axes = {"dataset": ["random"], "passes": [["memory", "latency"]], **replaced}
    cells: dict[Cell, None] = {}
    left_out: list[tuple[str, str]] = []
    if "method" in grid:
        cells.update(dict.fromkeys(_some_cells(grid)))
    else:
        methods = sorted(method_names(), key=_place)
        for method in methods:
            try:
                if load_method(method).compiles:
                    raise ConfigError(
                        f"method {method!r} needs a compiler, and time for it; legal: --set method={method}"
                    )
                cells.update(dict.fromkeys(_some_cells({"method": [method], **grid})))
            except ConfigError as error:
                left_out.append((method, str(error)))
        if not cells:
            raise ConfigError(left_out[0][1])
    return Sweep(EVERY_METHOD, "One cell per method.", tuple(cells), left_out=tuple(left_out))


def _some_cells(grid: Axes) -> list[Cell]:
    cells = list(_expand(grid))
    if not cells:
        raise ConfigError("no cell is left: 'depth/N' in --set modules divides none of the depths")
    return cells


def _place(method: str) -> tuple[int, str]:
    try:
        order = load_method(method).order
    except ConfigError:  # told where its cell is made
        order = None
    return (len(method_names()) if order is None else order, method)


def _narrow(sweep: Sweep, kept: Iterable[tuple[str, Sequence[Any]]], offered: Sequence[Axes]) -> Sweep:
    cells = sweep.cells
    for axis, values in kept:
        cells = _having(cells, axis, [_hashable(value) for value in values], offered)
    return replace(sweep, cells=cells)


def _narrowed(grid: Axes, kept: Iterable[tuple[str, Sequence[Any]]]) -> Axes:
    """``grid`` without values that no cell to keep can have, so that these need not be legal; texts may become any.

    Any value may become None in a cell that does not read it.
    """
    narrowed = dict(grid)
    for axis, values in kept:
        if axis in narrowed and None not in values:
            may_be_text = axes()[axis].expression
            narrowed[axis] = [
                value for value in narrowed[axis] if value in values or (may_be_text and isinstance(value, str))
            ]
    return narrowed


def _having(cells: tuple[Cell, ...], axis: str, values: Sequence[Any], offered: Iterable[Axes]) -> tuple[Cell, ...]:
    """The cells that have one of ``values`` in ``axis``; each of them has to be there."""
    for value in values:
        if not any(_has(cell, axis, value) for cell in cells):
            there = {value_text(value_of(cell, axis)) for cell in cells}
            there |= {value_text(value) for grid in offered for value in grid.get(axis, ())}
            raise ConfigError(
                f"--only {axis}={value_text(value)}: no cell of the sweep has it after --set, or none with "
                f"what else is kept; legal: {', '.join(sorted(there))}"
            )
    return tuple(cell for cell in cells if any(_has(cell, axis, value) for value in values))


def _has(cell: Cell, axis: str, value: Any) -> bool:
    """Whether ``cell`` has ``value`` in ``axis``; an alias of a method stands for the method and its presets."""
    if axis == "method" and value in method_names():
        method = load_method(value)
        if method.alias_of is not None:
            return cell.method == method.alias_of and all(
                value_of(cell, name) == preset for name, preset in method.presets_for(cell.model_dump()).items()
            )
    return bool(value_of(cell, axis) == value)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _path_of(suite: str) -> Path:
    """The file of a suite, which is named or given as a path."""
    if suite in suite_names():
        return Path(str(_SUITES / f"{suite}.toml"))
    path = Path(suite)
    if path.suffix != ".toml":
        raise ConfigError(f"{unknown('suite', suite, suite_names())}, or the path of a .toml file")
    return path


def parse_override(override: str, option: str = "--set") -> tuple[str, list[Any]]:
    """The axis and its values in ``AXIS=VALUE,VALUE``, as they follow ``option``; ``None`` is an axis that is unset.

    Raises:
        ConfigError: the text is something else, or there is no such axis.
    """
    axis, equals, values = override.partition("=")
    axis = axis.strip().replace("-", "_")
    if not equals or not values.strip():
        raise ConfigError(f"{option} {override!r} is not AXIS=VALUE[,VALUE...], as in {option} depth=8,16")
    try:
        return axis, _as_list(axis, [_parse_value(value.strip()) for value in values.split(",")])
    except ConfigError as error:
        raise ConfigError(f"{option} {override}: {error}") from None


def value_text(value: Any) -> str:
    """``value`` as :func:`parse_override` reads it: numbers of a list are joined by colons, ``passes`` by commas."""
    if isinstance(value, list | tuple):
        return (":" if all(isinstance(part, int | float) for part in value) else ",").join(map(value_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_overrides(overrides: Iterable[str]) -> dict[str, list[Any]]:
    """The values by axis of texts ``AXIS=VALUE,VALUE`` that follow ``--set``.

    Raises:
        ConfigError: a text is something else, there is no such axis, or two texts are about one axis.
    """
    found: dict[str, list[Any]] = {}
    for override in overrides:
        axis, values = parse_override(override)
        if axis in found:
            raise ConfigError(f"--set {override}: {axis} is given twice; legal: --set {axis}=VALUE,VALUE")
        found[axis] = values
    return found


def _parse_value(text: str) -> Any:
    """A number, a truth value or None where it reads as one, several numbers where colons join them, else the text."""
    if re.fullmatch(r"[-+.\d:eE]+", text) and ":" in text:
        return [_parse_value(part) for part in text.split(":")]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "None": None}.get(text, escaped(text))


def _as_list(axis: str, value: Any) -> list[Any]:
    if axis not in axes():
        raise ConfigError(unknown("axis", axis, axes()))
    if axis == "passes":
        return [value if isinstance(value, list) else [value]]
    if value == []:
        raise ConfigError(f"{axis} = []: an axis needs at least one value")
    return value if isinstance(value, list) else [value]


def _expand(grid: Axes) -> Iterable[Cell]:
    for values in itertools.product(*grid.values()):
        cell = dict(zip(grid, values, strict=True))
        expression = cell.get("modules")
        if isinstance(expression, str):
            divisor = _divisor(expression)
            # Where modules is left out, it is the depth; an alpha per module has to wait until its number is known.
            depth = make_cell({axis: value for axis, value in cell.items() if axis not in ("modules", "alpha")}).depth
            if depth % divisor:
                continue
            cell["modules"] = depth // divisor
        yield make_cell(cell)


def _divisor(expression: str) -> int:
    """N of ``depth/N``, 1 for ``depth``."""
    match = _MODULES_EXPRESSION.fullmatch(expression.replace(" ", ""))
    divisor = int(match[1] or 1) if match else 0
    if divisor < 1:
        raise ConfigError(f"modules = {expression!r}; legal: integers of 1 or more, 'depth', 'depth/N'")
    return divisor
