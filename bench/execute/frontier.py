"""The out-of-memory frontier: once a cell has run out of memory, larger cells of the same kind need not run.

Cell B is beyond cell A when three things hold. B is at least as large on every axis that is a size, and in layers per
module. B measures at least what A measures. B equals A on all other axes that memory depends on. Every method's peak
memory grows in each size: each adds to activations, parameters or both and takes from neither. Depth alone is not a
size: of two cells of one depth, the one with fewer modules has larger ones. Nor is the image a size for a backbone,
which treats small images in another way.
"""

from collections.abc import Iterable

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.networks import known_network


def is_beyond(cell: Cell, out_of_memory: Cell) -> bool:
    """Whether ``cell`` needs at least the memory that ``out_of_memory`` needs; true of a cell and itself."""
    return (
        all(value_of(cell, name) == value_of(out_of_memory, name) for name in _same_axes(cell))
        # A pass may need more than another: latency holds BP's step too, accuracy evaluates in batches of its own.
        and set(cell.passes) >= set(out_of_memory.passes)
        and all(_at_least(value_of(cell, name), value_of(out_of_memory, name)) for name in _size_axes())
        and _layers_per_module(cell) >= _layers_per_module(out_of_memory)
    )


def why_skip(cell: Cell, out_of_memory: Iterable[Cell]) -> str | None:
    """The message of ``cell`` if it is beyond one of the cells that ran out of memory, else None."""
    for failed in out_of_memory:
        if is_beyond(cell, failed):
            return f"skipped (beyond the frontier): {_kind(failed)} ran out of memory at {_sizes(failed)}"
    return None


def _size_axes() -> list[str]:
    return [name for name, row in axes().items() if row.size]


def _same_axes(cell: Cell) -> list[str]:
    """The axes that must be equal for one cell to say something about another."""
    same = [
        name
        for name, row in axes().items()
        if not row.size and name != "depth" and ("memory" in row.bears_on or row.process_memory)
    ]
    network = known_network(cell.network)
    is_scalable = network is not None and network.backbone is None
    return same if is_scalable else [*same, "image_size"]


def _at_least(size: int | None, least: int | None) -> bool:
    """Whether ``size >= least``; None stands for what the data set decides and is comparable only with itself."""
    return size == least if size is None or least is None else size >= least


def _layers_per_module(cell: Cell) -> float:
    return cell.depth / cell.modules


def _kind(cell: Cell) -> str:
    return f"{cell.method} {cell.network} {cell.dataset}"


def _sizes(cell: Cell) -> str:
    sizes = {"depth": cell.depth} | {name: value_of(cell, name) for name in _size_axes()}
    return ", ".join(f"{name} {size}" for name, size in sizes.items() if size is not None)
