"""From what a suite or a person says to a cell: fills in what is left open, refuses what is not legal.

Two cells that mean the same are equal and have one id, because an axis that does not bear on a cell gets one value:
``alpha`` None for a method that reads none, ``direction`` ``forward`` for a method without a local objective,
``smoothing`` None in direction ``forward``, a setting its default for a method that does not read it,
``micro_batches`` None and ``recompute`` ``none`` where they change nothing, ``noise_kind`` ``none`` at rate 0,
``noise_source`` None for a kind that reads no file,
``processes`` 1 without the latency pass, and ``depth``, ``width``, ``hidden`` and ``cut`` the only value that a network
has.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.config.alpha import alpha_by_module
from bench.config.axes import added_axes, axes, unpaired, value_of
from bench.config.axis import Axis
from bench.config.cell import TOO_LARGE, Cell
from bench.config.cell_rules import RULES, Changes
from bench.config.file_names import escaped
from bench.config.methods import BASELINE, load_method
from bench.config.networks import Network, describe, load_network
from bench.config.noise_sources import KINDS_WITH_SOURCE
from bench.config.shapes import known_shape
from bench.errors import ConfigError, unknown

# What an optimizer means where the cell leaves it open: Adam as in the paper's code, SGD as practitioners tune it.
OPTIMIZER_PRESETS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant"},
    "sgd": {"learning_rate": 0.05, "weight_decay": 5e-4, "schedule": "cosine"},
}
# A network of somebody's own is described at this shape where only the data can tell.
_ANY_SHAPE = ((3, 224, 224), 10)
_64_BITS = "integers of 64 bits, below 2**63"


def make_cell(values: Mapping[str, Any]) -> Cell:
    """A legal cell in its canonical form.

    Args:
        values: by axis; what is left out takes its default. ``alpha`` may be a text ``FIRST..LAST``.

    Raises:
        ConfigError: an unknown axis or name, or a value that is not legal; the message names axis, value and legal
            values.
    """
    for name in values:
        if name not in axes():
            raise ConfigError(unknown("axis", name, axes()))
    given = {name: escaped(value) if isinstance(value, str) else value for name, value in values.items()}
    given = _with_presets(given)
    preset = OPTIMIZER_PRESETS.get(str(given.get("optimizer", "adam")), {})
    given |= {name: value for name, value in preset.items() if given.get(name) is None}
    if given.get("noise_kind") in KINDS_WITH_SOURCE and given.get("noise_rate") is None:
        given["noise_rate"] = 1.0
    try:
        network = _network_for(given)
        cell = _build(_with_sizes(given, network))
        method = load_method(cell.method)
        for rule in RULES:
            cell = cell.model_copy(update=rule(cell, method, network))
        cell = _build(cell.model_dump())
    except ValidationError as error:
        raise ConfigError(describe_error(error)) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return cell


def changed(cell: Cell, **values: Any) -> Cell:
    """``cell`` with other ``values``, checked again.

    Raises:
        ConfigError: the cell is then not legal.
    """
    return make_cell(cell.model_dump() | values)


def baseline_of(cell: Cell) -> Cell:
    """The cell of plain BP that ``cell`` is compared with."""
    shared = {name: value for name, value in cell.model_dump().items() if name not in _choices_of_rule()}
    return make_cell(shared | {"method": BASELINE})


def is_baseline(cell: Cell) -> bool:
    """Whether ``cell`` is of plain BP, which runs the whole batch at once and holds all activations."""
    chosen = _choices_of_rule() - {"method", "alpha"}
    return cell.method == BASELINE and all(value_of(cell, name) == axes()[name].default for name in chosen)


def plain_network_of(cell: Cell) -> Cell:
    """The cell of BP on the plain network: one module with the trunk or the backbone of ``cell``, and one head.

    Raises:
        ConfigError: the network cannot be built with one module.
    """
    return changed(baseline_of(cell), modules=1)


def _choices_of_rule() -> set[str]:
    """The axes that belong to a rule, which BP does not share with the cell that is compared with it."""
    return set(unpaired()) - {"passes", "latency_seconds"}


def _with_presets(values: Changes) -> Changes:
    """``values`` with the presets of their method where they leave an axis open, and the method of an alias."""
    name = values.get("method")
    method = load_method(name) if isinstance(name, str) else None
    if method is None or not (method.presets or method.alias_of):
        return values
    kept = {axis: value for axis, value in values.items() if value is not None}
    given = {**method.presets_for(values), **kept, "method": method.alias_of or name}
    return _with_presets(given) if method.alias_of else given


def _network_for(values: Changes) -> Network:
    """The network that ``values`` name, with its layout and units."""
    fields = Cell.model_fields
    name = values.get("network", fields["network"].default)
    if not isinstance(name, str):
        raise ConfigError(f"network = {name!r}; legal: {fields['network'].description}")
    network = load_network(name)
    if network.layout is not None:
        return network
    shapes = ("dataset", "image_size", "channels", "classes")
    known = known_shape(_build({axis: values[axis] for axis in shapes if axis in values}))
    return describe(network, *(known or _ANY_SHAPE))


def _with_sizes(values: Changes, network: Network) -> Changes:
    """``values`` with depth, modules and alpha as numbers."""
    values = dict(values)
    if network.units is not None:
        values["depth"] = network.units
    elif "depth" not in network.reads:  # each module counts as one
        values["depth"] = values.setdefault("modules", Cell.model_fields["modules"].default)
    if values.get("modules") is None:
        values["modules"] = values.get("depth", Cell.model_fields["depth"].default)
    alpha, modules = values.get("alpha"), values["modules"]
    if isinstance(alpha, str):
        if isinstance(modules, int) and modules >= 1:
            values["alpha"] = alpha_by_module(alpha, modules)
        else:  # that is the error to tell
            del values["alpha"]
    return values


def _build(values: Changes) -> Cell:
    """A cell whose values are legal one by one; those of added axes only where they are not at their default."""
    added = added_axes()
    own = {name: value for name, value in values.items() if name not in added}
    extra = {name: _checked(added[name], values[name]) for name in values if name in added}
    return Cell.model_validate(own | {name: value for name, value in extra.items() if value != added[name].default})


def _checked(axis: Axis, value: Any) -> Any:
    try:
        checked = TypeAdapter(axis.type).validate_python(value)
    except ValidationError:
        raise ConfigError(f"{axis.name} = {value!r}; legal: {axis.description}") from None
    if not _fits_64_bits(checked):
        raise ConfigError(f"{axis.name} = {value!r}; legal: {axis.description}; {_64_BITS}")
    return checked


def _fits_64_bits(value: Any) -> bool:
    """Whether a results file can hold each integer in ``value``."""
    if isinstance(value, dict):
        return all(map(_fits_64_bits, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_fits_64_bits, value))
    return not isinstance(value, int) or -TOO_LARGE <= value < TOO_LARGE


def describe_error(error: ValidationError) -> str:
    """The problems of ``error``, joined by semicolons: axis, value, what is legal."""
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "value_error":
            line = str(problem["ctx"]["error"])
        else:
            description = Cell.model_fields[field].description if field in Cell.model_fields else None
            line = f"{field} = {problem['input']!r}; legal: {description or problem['msg']}"
            if problem.get("ctx", {}).get("lt") == TOO_LARGE:
                line += f"; {_64_BITS}"
        if line not in lines:
            lines.append(line)
    return "; ".join(lines)
