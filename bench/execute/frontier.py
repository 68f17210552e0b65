"""The out-of-memory frontier: which cells need not run after another one has run out of memory.

Cell B is beyond cell A when B is at least as large in every size (batch, hidden and feature width, image, channels,
classes, modules, and layers per module), runs at least the passes that A runs, and equals A in everything else that
bears on memory. The peak memory of every method grows in each size: a size adds activations, parameters or both, and
takes neither away. Depth alone is not a size, because of two cells of one depth the one with fewer modules has the
larger ones. For a backbone the image is not a size either, because small images change its layout.
"""

from collections.abc import Iterable

from bench.config.catalog import BACKBONE_TRUNKS, BACKBONE_UNITS
from bench.config.cell import Cell

_SIZES = ("modules", "width", "hidden", "batch_size", "image_size", "channels", "classes")
# Axes that do not bear on memory.
_FREE = {"seed", "latency_seconds", "processes", "epochs", "alpha", "smoothing", "noise_kind", "noise_rate"}
_FREE |= {"learning_rate", "weight_decay", "schedule"}
_SAME = sorted(Cell.model_fields.keys() - {*_SIZES, *_FREE, "depth", "passes"})


def is_beyond(cell: Cell, out_of_memory: Cell) -> bool:
    """Whether ``cell`` needs at least the memory that ``out_of_memory`` needs; True for a cell and itself."""
    same = [*_SAME, "image_size"] if cell.network in {*BACKBONE_UNITS, *BACKBONE_TRUNKS} else _SAME
    return (
        all(getattr(cell, name) == getattr(out_of_memory, name) for name in same)
        # One pass may need more than another: latency holds BP's step too, accuracy evaluates in batches of its own.
        and set(cell.passes) >= set(out_of_memory.passes)
        and all(_at_least(getattr(cell, name), getattr(out_of_memory, name)) for name in _SIZES)
        and _layers_per_module(cell) >= _layers_per_module(out_of_memory)
    )


def why_skip(cell: Cell, out_of_memory: Iterable[Cell]) -> str | None:
    """The message of ``cell`` if it is beyond one of the cells that ran out of memory, else None."""
    for failed in out_of_memory:
        if is_beyond(cell, failed):
            return f"skipped (beyond the frontier): {_kind(failed)} ran out of memory at {_sizes(failed)}"
    return None


def _at_least(size: int | None, least: int | None) -> bool:
    """Whether ``size >= least``; None stands for what the data set decides and is comparable only with itself."""
    return size == least if size is None or least is None else size >= least


def _layers_per_module(cell: Cell) -> float:
    return cell.depth / cell.modules


def _kind(cell: Cell) -> str:
    return f"{cell.method} {cell.network} {cell.dataset}"


def _sizes(cell: Cell) -> str:
    sizes = {"depth": cell.depth} | {name: getattr(cell, name) for name in _SIZES}
    return ", ".join(f"{name} {size}" for name, size in sizes.items() if size is not None)
