"""The distinct memory cells of a sweep, and its lines: cells that differ only in the batch size."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench.config.axes import bearing_on
from bench.config.batches import refuse_single_images
from bench.config.cell import Cell
from bench.config.check import baseline_of as plain_bp
from bench.config.check import make_cell
from bench.config.datasets import load_dataset_row
from bench.config.methods import load_method
from bench.config.plugins import resolve
from bench.config.shapes import known_shape
from bench.errors import ConfigError


def memory_axes() -> tuple[str, ...]:
    """Return the axes that the bytes of a step depend on."""
    return bearing_on(["memory"])


def memory_cells(cells: Iterable[Cell], data_root: Path | None = None) -> list[Cell]:
    """Return the distinct ``cells``, in order, with axes that memory does not depend on at their defaults.

    Raises:
        ConfigError: the image sizes of a cell are not known without its files.
    """
    distinct = list(dict.fromkeys(_changed(cell) for cell in cells))
    for cell in distinct:
        refuse_single_images(cell, *shape_of(cell, data_root))
    return distinct


def baseline_of(cell: Cell) -> Cell:
    """Return the plain BP cell that ``cell`` is compared with."""
    return _changed(plain_bp(cell))


def at_batch(cell: Cell, batch_size: int) -> Cell:
    """Return the same cell with another batch size."""
    return _changed(cell, batch_size=batch_size)


def at_legal_batch(line: Cell, batch_size: int) -> Cell:
    """Return the cell of ``line`` with the smallest legal batch of ``batch_size`` or more.

    Args:
        line: a cell of the smallest legal batch.
        batch_size: samples.

    Raises:
        ConfigError: there is none among the next few.
    """
    first = max(batch_size, line.batch_size)
    for larger in range(first, first + line.batch_size - 1):
        try:
            return at_batch(line, larger)
        except ConfigError:  # the batch does not go into equal micro-batches
            continue
    return at_batch(line, first + line.batch_size - 1)


def lines_of(cells: Iterable[Cell], data_root: Path | None = None) -> list[Cell]:
    """Return one cell, of the smallest legal batch, for all ``cells`` that differ only in the batch size, in order."""
    return list(dict.fromkeys(_at_smallest_batch(cell, data_root) for cell in cells))


def _at_smallest_batch(cell: Cell, data_root: Path | None) -> Cell:
    for batch_size in range(1, cell.batch_size):
        try:
            smaller = at_batch(cell, batch_size)
            refuse_single_images(smaller, *shape_of(cell, data_root))
            return smaller
        except ConfigError:  # too few samples for the network or for the number of micro-batches
            continue
    return cell


def shape_of(cell: Cell, data_root: Path | None = None) -> tuple[tuple[int, int, int], int]:
    """Return ``(channels, height, width)`` of the images of ``cell``, and the number of classes.

    A data set from a plug-in whose row does not state them is loaded, which imports torch.

    Raises:
        ConfigError: they are only known from files, as for an image folder.
        DataError: the data cannot be loaded.
    """
    known = known_shape(cell)
    if known is not None:
        return known
    if load_dataset_row(cell.dataset).source != "sid-bench":
        return _loaded_shape(cell, data_root)
    size = "" if cell.image_size else " --set image_size=N"  # otherwise one of several options has given it
    raise ConfigError(
        f"dataset = {cell.dataset!r} cannot be planned: the number of classes is only known from its files. Synthetic "
        f"images of the same sizes need the same bytes: --set dataset=random{size} "
        f"--set channels={cell.channels or 3} --set classes=N"
    )


@cache
def _loaded_shape(cell: Cell, data_root: Path | None) -> tuple[tuple[int, int, int], int]:
    loaded: tuple[tuple[int, int, int], int] = resolve("bench.train.datasets.splits:shape_of")(cell, data_root)
    return loaded


def _changed(cell: Cell, **values: object) -> Cell:
    kept = {name: value for name, value in cell.model_dump().items() if name in memory_axes()}
    if load_method(cell.method).state_by_sample:
        kept["train_samples"] = cell.train_samples
    if load_method(cell.method).not_planned is not None:
        kept["device"] = cell.device  # keeps the cell legal; the prediction then refuses it with the reason
    return make_cell(kept | {"passes": ["memory"]} | values)
