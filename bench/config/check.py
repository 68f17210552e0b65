"""From what a suite or a person says to a cell: fills in what is left open, refuses what is not legal.

Two cells that mean the same are equal and have one id, because an axis that does not bear on a cell gets one value:
``alpha`` None for a method that reads none, ``direction`` ``forward`` for a method without a local objective,
``smoothing`` None in direction ``forward``, a setting its default for a method that does not read it,
``micro_batches`` None and ``recompute`` ``none`` where they change nothing, ``noise_kind`` ``none`` at rate 0,
``noise_source`` None for a kind that reads no file,
``processes`` 1 without the latency pass, and ``depth``, ``width``, ``hidden`` and ``cut`` the only value that a network
has.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.config.alpha import alpha_by_module
from bench.config.axes import added_axes, axes, unpaired, value_of
from bench.config.axis import Axis
from bench.config.batches import refuse_single_images
from bench.config.cell import RECOMPUTED_PARTS, TIMED_PASSES, Cell
from bench.config.datasets import asymmetric_names, is_image_folder, load_dataset_row
from bench.config.file_names import escaped
from bench.config.heads import DEFAULT_HEAD, load_head
from bench.config.methods import BASELINE, Method, load_method
from bench.config.networks import Network, describe, load_network
from bench.config.noise_sources import KINDS_WITH_SOURCE, matrix_of_labels
from bench.config.shapes import known_shape, sides_of
from bench.errors import ConfigError, unknown

# What an optimizer means where the cell leaves it open: Adam as in the paper's code, SGD as practitioners tune it.
OPTIMIZER_PRESETS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant"},
    "sgd": {"learning_rate": 0.05, "weight_decay": 5e-4, "schedule": "cosine"},
}
OBJECTIVE_AXES = ("direction", "smoothing", "loss_reduction")
_REVERSE_SMOOTHING = 0.1
_LEGAL_SOURCE = Cell.model_fields["noise_source"].description
# A network of somebody's own is described at this shape where only the data can tell.
_ANY_SHAPE = ((3, 224, 224), 10)

# The largest number of modules that an error lists as legal.
_MOST_LISTED = 1000

Changes = dict[str, Any]


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
        for rule in _RULES:
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
        return TypeAdapter(axis.type).validate_python(value)
    except ValidationError:
        raise ConfigError(f"{axis.name} = {value!r}; legal: {axis.description}") from None


def _sizes(cell: Cell, _method: Method, network: Network) -> Changes:
    not_read = {name: _default(name) for name in ("cut", "width", "hidden") if name not in network.reads}
    if network.units is None:
        if cell.depth % cell.modules:
            divisors = [count for count in range(1, min(cell.depth, _MOST_LISTED) + 1) if cell.depth % count == 0]
            raise ValueError(f"modules = {cell.modules} does not divide depth = {cell.depth}; legal: {divisors}")
        return not_read
    if cell.modules > network.units:
        raise ValueError(f"modules = {cell.modules} for network {cell.network}; legal: 1 to {network.units}")
    has_one_cut = cell.modules in (1, network.units)
    return not_read | ({"cut": _default("cut")} if has_one_cut else {})


def _head(cell: Cell, _method: Method, network: Network) -> Changes:
    head = load_head(cell.head)
    if "head" not in network.reads:
        if cell.head != DEFAULT_HEAD:
            kind = "a cascade, whose modules have no heads" if network.layout == "cascade" else "which makes its own"
            raise ValueError(f"head = {cell.head!r} for network {cell.network!r}, {kind}; legal: {DEFAULT_HEAD}")
        return {}
    return {} if head.reads_hidden or not network.has_heads else {"hidden": _default("hidden")}


def _alpha(cell: Cell, method: Method, _network: Network) -> Changes:
    if not method.uses_alpha:
        return {"alpha": None}
    if cell.alpha is None:
        raise ValueError(f"alpha is missing; method {cell.method!r} takes a number in (0, 1], or one per module")
    if not isinstance(cell.alpha, tuple):
        return {}
    if len(cell.alpha) != cell.modules:
        raise ValueError(
            f"alpha = {list(cell.alpha)} has {len(cell.alpha)} values; legal: one number, or {cell.modules}, "
            f"one for each module"
        )
    return {"alpha": cell.alpha[0]} if len(set(cell.alpha)) == 1 else {}


def _objective(cell: Cell, method: Method, _network: Network) -> Changes:
    if not method.objective:
        return {name: _default(name) for name in OBJECTIVE_AXES}
    if cell.direction == "forward":
        return {"smoothing": None}
    return {"smoothing": _REVERSE_SMOOTHING} if cell.smoothing is None else {}


def _noise(cell: Cell, _method: Method, _network: Network) -> Changes:
    if cell.noise_rate == 0:
        return {"noise_kind": "none", "noise_source": None}
    if cell.noise_kind == "none":
        raise ValueError(f"noise_kind = 'none' contradicts noise_rate = {cell.noise_rate}; legal: noise_rate 0")
    # An image folder has a map if its classes are CIFAR-10's, which only the files can tell.
    lacks_map = load_dataset_row(cell.dataset).asymmetric is None and not is_image_folder(cell.dataset)
    if cell.noise_kind == "asymmetric" and lacks_map:
        raise ValueError(
            f"noise_kind = 'asymmetric' has no class map for dataset {cell.dataset!r}; legal: {asymmetric_names()}, "
            "and image folders whose classes are named as CIFAR-10's"
        )
    if cell.noise_kind not in KINDS_WITH_SOURCE:
        return {"noise_source": None}
    if cell.noise_source is None:
        raise ValueError(f"noise_source is missing for noise_kind = {cell.noise_kind!r}; legal: {_LEGAL_SOURCE}")
    of_labels = matrix_of_labels(cell.noise_source)
    if of_labels == "" or (of_labels is not None and cell.noise_kind == "human"):
        raise ValueError(
            f"noise_source = {cell.noise_source!r} for noise_kind = {cell.noise_kind!r}; legal: {_LEGAL_SOURCE}"
        )
    return {}


def _processes(cell: Cell, _method: Method, _network: Network) -> Changes:
    return {} if TIMED_PASSES & set(cell.passes) else {"processes": _default("processes")}


def _images(cell: Cell, _method: Method, network: Network) -> Changes:
    dataset = load_dataset_row(cell.dataset)
    for name in ("image_size", "channels", "classes"):
        value = getattr(cell, name)
        if value is not None and name not in dataset.free:
            raise ValueError(f"{name} = {value} cannot be chosen for dataset {cell.dataset!r}: its files decide")
    if is_image_folder(cell.dataset) and cell.channels not in (None, 1, 3):
        raise ValueError(f"channels = {cell.channels} for an image folder; legal: 1 (grey), 3 (colour)")
    if not dataset.is_labelled and "accuracy" in cell.passes:
        raise ValueError(
            f"passes = accuracy has no meaning for dataset {cell.dataset!r}; legal: memory, latency, inference"
        )
    sides = sides_of(cell)
    if sides is not None:
        refuse_sides(network, *sides)
    return {}


def refuse_sides(network: Network, height: int, width: int) -> None:
    """Checks that ``network`` takes images of ``height`` by ``width`` pixels.

    Raises:
        ConfigError: it does not.
    """
    legal = None if network.refuse_sides is None else network.refuse_sides(height, width)
    if legal is not None:
        size = height if height == width else f"{height}x{width}"
        raise ConfigError(f"image_size = {size} for network {network.name}; legal: {legal}")


def _ranks(cell: Cell, method: Method, _network: Network) -> Changes:
    fewest, most = method.rank_limits
    if cell.ranks < fewest or (most is not None and cell.ranks > most):
        legal = most if most == fewest else f"{fewest} or more"
        raise ValueError(f"ranks = {cell.ranks} for method {cell.method!r}; legal: {legal}")
    if cell.ranks == 1:
        return {}
    if method.hooks:
        raise ValueError(
            f"ranks = {cell.ranks} for method {cell.method!r}, whose {method.hooks[0]} is made for one rank; legal: 1"
        )
    if cell.ranks > cell.modules:
        raise ValueError(f"ranks = {cell.ranks} for {cell.modules} modules; legal: 1 to {cell.modules}")
    legal = "memory, latency" if method.not_trained_on_ranks else "memory, latency, accuracy"
    if "inference" in cell.passes:
        raise ValueError(f"passes = inference for ranks = {cell.ranks}; legal: {legal}")
    if "accuracy" in cell.passes and method.not_trained_on_ranks is not None:
        raise ValueError(
            f"passes = accuracy for method {cell.method!r} on {cell.ranks} ranks, {method.not_trained_on_ranks}; "
            f"legal: {legal}"
        )
    if cell.compile:
        raise ValueError(f"compile = True for ranks = {cell.ranks}; legal: False")
    if cell.device not in ("cpu", "cuda"):
        raise ValueError(f"device = {cell.device!r} for ranks = {cell.ranks}; legal: cpu, cuda (a GPU per rank)")
    return {}


def _settings(cell: Cell, method: Method, _network: Network) -> Changes:
    """A setting stays where the method reads it and it differs from what the method does without it."""
    changes: Changes = {}
    for name, row in axes().items():
        if name in method.settings:
            choose = method.settings[name]
            unset = cell.model_copy(update={name: row.default})
            value = choose(getattr(cell, name, row.default), cell)
            changes[name] = row.default if value == choose(row.default, unset) else value
        elif row.setting:
            changes[name] = row.default
    return changes


def _micro_batches(cell: Cell, method: Method, _network: Network) -> Changes:
    parts = cell.micro_batches
    if parts is None or "micro_batches" in method.settings:
        return {}
    if parts > cell.batch_size:
        raise ValueError(f"micro_batches = {parts} for batch_size = {cell.batch_size}; legal: 1 to {cell.batch_size}")
    if parts == 1:
        return {"micro_batches": None}
    if method.not_in_parts is not None:
        raise ValueError(f"micro_batches = {parts} for method {cell.method!r}, {method.not_in_parts}; legal: 1")
    if method.updates_within_step:
        raise ValueError(
            f"micro_batches = {parts} for method {cell.method!r}, which updates parameters before the next part of the "
            "batch comes; legal: 1"
        )
    if cell.ranks > 1:
        raise ValueError(f"micro_batches = {parts} for method {cell.method!r} on {cell.ranks} ranks; legal: 1")
    return {}


def _recompute(cell: Cell, method: Method, network: Network) -> Changes:
    asked = set(RECOMPUTED_PARTS[cell.recompute])
    if network.layout == "pipeline":
        if cell.recompute == "trunk":
            raise ValueError(
                f"recompute = 'trunk' for network {cell.network}, which has none; legal: none, modules, selective"
            )
        asked = asked - {"trunk"}
    if not asked:
        return {"recompute": "none"}
    refused = sorted(asked - set(method.recomputes))
    if refused:
        legal = ", ".join(name for name, parts in RECOMPUTED_PARTS.items() if set(parts) <= set(method.recomputes))
        raise ValueError(f"recompute = {cell.recompute!r} for method {cell.method!r}; legal: {legal}")
    if cell.compile:
        raise ValueError(f"compile = True for recompute = {cell.recompute!r}, which calls parts of it; legal: False")
    if cell.ranks > 1:
        raise ValueError(f"recompute = {cell.recompute!r} for ranks = {cell.ranks}; legal: none")
    if cell.recompute == "selective":
        return {}
    return {"recompute": "all" if len(asked) == 2 else asked.pop()}


def _compile(cell: Cell, method: Method, _network: Network) -> Changes:
    if cell.compile and method.auxiliary is not None:
        raise ValueError(
            f"compile = True for method {cell.method!r}, whose auxiliary modules are not compiled; legal: False"
        )
    what = "compile = True" if cell.compile else f"method {cell.method!r}" if method.compiles else None
    if cell.compile and "inference" in cell.passes:
        raise ValueError(
            "compile = True has no pass inference, whose instrument of memory does not see into compiled code; legal: "
            "passes of memory, latency, accuracy"
        )
    if what is not None and "memory" in cell.passes and cell.device != "cpu":
        raise ValueError(
            f"{what} has no pass memory for device = {cell.device!r}, since bytes of compiled steps are those of the "
            "CPU's allocator; legal: passes of latency, accuracy, or cpu"
        )
    return {}


def _refusal(cell: Cell, method: Method, network: Network) -> Changes:
    if method.networks is not None and not {cell.network, network.layout} & set(method.networks):
        raise ValueError(
            f"network = {cell.network!r} for method {cell.method!r}, a {network.layout}; legal: "
            f"{', '.join(method.networks)}"
        )
    reason = None if method.refusal is None else method.refusal(cell)
    if reason is not None:
        raise ValueError(reason)
    return {}


def _batches(cell: Cell, _method: Method, _network: Network) -> Changes:
    known = known_shape(cell)
    if known is not None:
        refuse_single_images(cell, *known)
    return {}


_RULES: tuple[Callable[[Cell, Method, Network], Changes], ...] = (
    _sizes,
    _head,
    _alpha,
    _objective,
    _noise,
    _processes,
    _images,
    _ranks,
    _settings,
    _micro_batches,
    _refusal,
    _recompute,
    _compile,
    _batches,
)


def _default(name: str) -> Any:
    return Cell.model_fields[name].default


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
        if line not in lines:
            lines.append(line)
    return "; ".join(lines)
