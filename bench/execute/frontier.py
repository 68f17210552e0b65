"""The out-of-memory frontier: what a cell that ran out of memory says of larger ones, which then need not run.

Cell B is beyond cell A when it is at least as large in every size, that is batch, hidden and feature width, image,
channels, classes, modules, and layers a module; when it measures at least what A measures; and when it equals A in all
else, what does not bear on memory (:data:`_FREE`) apart. Every method's peak memory grows in each size: each adds to
activations, parameters or both and takes from neither. Depth alone is no size: of two cells of one depth, the one with
fewer modules has the larger ones. Nor is the image a size of a backbone, which treats small images in another way.
"""

from collections.abc import Iterable

from bench.config.catalog import BACKBONE_TRUNKS, BACKBONE_UNITS
from bench.config.cell import Cell

_SIZES = ("modules", "width", "hidden", "batch_size", "image_size", "channels", "classes")
_FREE = {"seed", "latency_seconds", "processes", "epochs", "alpha", "smoothing", "noise_kind", "noise_rate"}
_FREE |= {"learning_rate", "weight_decay", "schedule"}
_SAME = sorted(Cell.model_fields.keys() - {*_SIZES, *_FREE, "depth", "passes"})


def is_beyond(cell: Cell, out_of_memory: Cell) -> bool:
    """Whether ``cell`` needs at least the memory that ``out_of_memory`` needs; true of a cell and itself."""
    same = [*_SAME, "image_size"] if cell.network in {*BACKBONE_UNITS, *BACKBONE_TRUNKS} else _SAME
    return (
        all(getattr(cell, name) == getattr(out_of_memory, name) for name in same)
        # A pass may need more than another: latency holds BP's step too, accuracy evaluates in batches of its own.
        and set(cell.passes) >= set(out_of_memory.passes)
        and all(_at_least(getattr(cell, name), getattr(out_of_memory, name)) for name in _SIZES)
        and _layers_per_module(cell) >= _layers_per_module(out_of_memory)
    )


def why_skip(cell: Cell, out_of_memory: Iterable[Cell]) -> str | None:
    """The message for ``cell`` if it is beyond one of the cells that ran out of memory, else None."""
    for failed in out_of_memory:
        if is_beyond(cell, failed):
            return f"skipped (beyond the frontier): {_line(failed)} ran out of memory at {_sizes(failed)}"
    return None


def _at_least(size: int | None, least: int | None) -> bool:
    """None stands for what the data set decides, which only equals itself."""
    return size == least if size is None or least is None else size >= least


def _layers_per_module(cell: Cell) -> float:
    return cell.depth / cell.modules


def _line(cell: Cell) -> str:
    return f"{cell.method} {cell.network} {cell.dataset}"


def _sizes(cell: Cell) -> str:
    sizes = {"depth": cell.depth} | {name: getattr(cell, name) for name in _SIZES}
    return ", ".join(f"{name} {size}" for name, size in sizes.items() if size is not None)
