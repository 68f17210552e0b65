"""What makes a cell legal, and the one value that an axis has where it does not bear on the cell.

Each rule takes a cell, its method and its network, returns the axes that it changes, and raises ``ValueError`` with the
axis, the value and the legal values if the cell is not legal.
"""

from collections.abc import Callable
from typing import Any

from bench.config.axes import axes
from bench.config.batches import refuse_single_images
from bench.config.cell import RECOMPUTED_PARTS, TIMED_PASSES, Cell
from bench.config.datasets import asymmetric_names, is_image_folder, load_dataset_row
from bench.config.heads import DEFAULT_HEAD, load_head
from bench.config.methods import Method
from bench.config.networks import Network
from bench.config.noise_sources import KINDS_WITH_SOURCE, matrix_of_labels
from bench.config.shapes import known_shape, sides_of
from bench.errors import ConfigError

OBJECTIVE_AXES = ("direction", "smoothing", "loss_reduction")
_REVERSE_SMOOTHING = 0.1
_LEGAL_SOURCE = Cell.model_fields["noise_source"].description
_MOST_LISTED = 1000  # the largest number of modules that an error lists as legal

Changes = dict[str, Any]


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


RULES: tuple[Callable[[Cell, Method, Network], Changes], ...] = (
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
