"""What the fields of a cell mean together: what does not fit is refused, what does not bear on the cell is dropped.

Each function looks at a few fields and raises a ValueError that names the field, the value and what is legal.
"""

from typing import TYPE_CHECKING

from bench.config.catalog import (
    BACKBONE_UNITS,
    DATASETS,
    batch_norm_sees_pixels,
    dataset_info,
    refuse_sides,
    synthetic_shape,
)
from bench.config.methods import SETTING_NAMES, load_method, rank_limits, refusal, settings, takes_objective

if TYPE_CHECKING:
    from bench.config.cell import Cell

_OBJECTIVE_FIELDS = ("direction", "smoothing", "loss_reduction")
_REVERSE_SMOOTHING = 0.1


def settle(cell: "Cell") -> None:
    """Checks the fields of ``cell`` against each other and brings those that do not bear on it to one value.

    Raises:
        ValueError: two fields do not fit together, or the method refuses the cell.
    """
    _settle_cut(cell)
    _settle_alpha(cell)
    _settle_objective(cell)
    _settle_noise(cell)
    if "latency" not in cell.passes:
        _reset(cell, "processes")
    _check_images(cell)
    _check_ranks(cell)
    _settle_settings(cell)
    if cell.compile and "memory" in cell.passes:
        raise ValueError(
            "compile = True has no memory pass, whose instrument does not see into compiled code; legal: passes of "
            "latency, accuracy"
        )
    reason = refusal(cell.method, cell)
    if reason is not None:
        raise ValueError(reason)
    _check_batch_norm(cell)


def _set(cell: "Cell", name: str, value: object) -> None:
    object.__setattr__(cell, name, value)  # it is frozen once it has been checked


def _reset(cell: "Cell", name: str) -> None:
    _set(cell, name, type(cell).model_fields[name].default)


def _settle_cut(cell: "Cell") -> None:
    units = BACKBONE_UNITS.get(cell.network)
    if units is None:
        if cell.depth % cell.modules:
            divisors = [count for count in range(1, cell.depth + 1) if cell.depth % count == 0]
            raise ValueError(f"modules = {cell.modules} does not divide depth = {cell.depth}; legal: {divisors}")
        _reset(cell, "cut")
        return
    if cell.depth != units:
        raise ValueError(f"depth = {cell.depth} for network {cell.network}; legal: {units}, its number of units")
    if cell.modules > units:
        raise ValueError(f"modules = {cell.modules} for network {cell.network}; legal: 1 to {units}")
    _reset(cell, "width")
    if cell.modules in (1, units):
        _reset(cell, "cut")


def _settle_alpha(cell: "Cell") -> None:
    if not load_method(cell.method).USES_ALPHA:
        _set(cell, "alpha", None)
    elif cell.alpha is None:
        raise ValueError(f"alpha is missing; method {cell.method!r} takes a number in (0, 1], or one a module")
    elif isinstance(cell.alpha, tuple) and len(cell.alpha) != cell.modules:
        raise ValueError(
            f"alpha = {list(cell.alpha)} has {len(cell.alpha)} values; legal: one number, or {cell.modules}, "
            f"one for each module"
        )
    elif isinstance(cell.alpha, tuple) and len(set(cell.alpha)) == 1:
        _set(cell, "alpha", cell.alpha[0])


def _settle_objective(cell: "Cell") -> None:
    if not takes_objective(load_method(cell.method)):
        for name in _OBJECTIVE_FIELDS:
            _reset(cell, name)
    elif cell.direction == "forward":
        _reset(cell, "smoothing")
    elif cell.smoothing is None:
        _set(cell, "smoothing", _REVERSE_SMOOTHING)


def _settle_noise(cell: "Cell") -> None:
    if cell.noise_rate == 0:
        _set(cell, "noise_kind", "none")
    elif cell.noise_kind == "none":
        raise ValueError(f"noise_kind = 'none' contradicts noise_rate = {cell.noise_rate}; legal: noise_rate 0")
    elif cell.noise_kind == "asymmetric" and _lacks_asymmetric_map(cell):
        legal = [name for name, known in DATASETS.items() if known.asymmetric]
        raise ValueError(
            f"noise_kind = 'asymmetric' has no class map for dataset {cell.dataset!r}; legal: {legal}, and image "
            f"folders whose classes are named as CIFAR-10's"
        )


def _lacks_asymmetric_map(cell: "Cell") -> bool:
    """An image folder has one if its classes are CIFAR-10's, which only the files can tell."""
    return dataset_info(cell.dataset).asymmetric is None and not cell.dataset.startswith("image-folder")


def _check_images(cell: "Cell") -> None:
    kind = cell.dataset.partition(":")[0]
    free = {"random": {"image_size", "channels", "classes"}, "image-folder": {"image_size", "channels"}}
    for name in ("image_size", "channels", "classes"):
        value = getattr(cell, name)
        if value is not None and name not in free.get(kind, set()):
            raise ValueError(f"{name} = {value} cannot be chosen for dataset {cell.dataset!r}: its files decide")
    if kind == "image-folder" and cell.channels not in (None, 1, 3):
        raise ValueError(f"channels = {cell.channels} for an image folder; legal: 1 (grey), 3 (colour)")
    if kind == "random" and "accuracy" in cell.passes:
        raise ValueError("passes = accuracy has no meaning for dataset 'random'; legal: memory, latency")
    sides = _sides(cell)
    reason = None if sides is None else refuse_sides(cell.network, *sides)
    if reason is not None:
        raise ValueError(reason)


def _sides(cell: "Cell") -> tuple[int, int] | None:
    """Height and width of the images; None where only files can tell."""
    shape = dataset_info(cell.dataset).shape
    if cell.dataset == "random" or cell.image_size is not None:
        shape, _ = synthetic_shape(cell.image_size, cell.channels, cell.classes)
    return None if shape is None else shape[1:]


def _check_batch_norm(cell: "Cell") -> None:
    """In training, BatchNorm has no variance of a single value."""
    sides = _sides(cell)
    if sides is None or batch_norm_sees_pixels(cell.network, *sides) != 1:
        return
    parts = min(cell.batch_size, settings(load_method(cell.method), cell).get("micro_batches", 1))
    if cell.batch_size // parts < 2:
        height, width = sides
        raise ValueError(
            f"batch_size = {cell.batch_size} (in {parts}) for network {cell.network} and images of {height}x{width}, "
            f"where BatchNorm would see one value a channel; legal: {2 * parts} or more, or fewer parts"
        )


def _check_ranks(cell: "Cell") -> None:
    fewest, most = rank_limits(cell.method)
    if cell.ranks < fewest or (most is not None and cell.ranks > most):
        legal = most if most == fewest else f"{fewest} or more"
        raise ValueError(f"ranks = {cell.ranks} for method {cell.method!r}; legal: {legal}")
    if cell.ranks == 1:
        return
    if cell.ranks > cell.modules:
        raise ValueError(f"ranks = {cell.ranks} for {cell.modules} modules; legal: 1 to {cell.modules}")
    if "accuracy" in cell.passes:
        raise ValueError(f"passes = accuracy for ranks = {cell.ranks}; legal: memory, latency")
    if cell.processes > 1:
        raise ValueError(f"processes = {cell.processes} for ranks = {cell.ranks}; legal: 1")
    if cell.compile:
        raise ValueError(f"compile = True for ranks = {cell.ranks}; legal: False")
    if cell.device not in ("cpu", "cuda"):
        raise ValueError(f"device = {cell.device!r} for ranks = {cell.ranks}; legal: cpu, cuda (a GPU a rank)")


def _settle_settings(cell: "Cell") -> None:
    method = load_method(cell.method)
    chosen = settings(method, cell)
    for name in SETTING_NAMES:
        _reset(cell, name)
    for name, usual in settings(method, cell).items():
        if chosen[name] != usual:
            _set(cell, name, chosen[name])
