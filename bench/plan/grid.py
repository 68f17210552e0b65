"""A sweep as the memory pass sees it: each cell once that can differ in bytes, and the lines that its batches form."""

from collections.abc import Iterable

from bench.config.catalog import dataset_info, synthetic_shape
from bench.config.cell import Cell, make_cell
from bench.config.methods import BASELINE, why_not_planned
from bench.errors import ConfigError

# What the bytes of a step do not depend on: values of numbers, what other passes read, and who computes.
_INDIFFERENT = (
    "smoothing",
    "learning_rate",
    "weight_decay",
    "schedule",
    "epochs",
    "train_samples",
    "noise_kind",
    "noise_rate",
    "latency_seconds",
    "seed",
    "device",
    "threads",
    "processes",
    "passes",
)
MEMORY_AXES = tuple(name for name in Cell.model_fields if name not in _INDIFFERENT)


def memory_cells(cells: Iterable[Cell]) -> list[Cell]:
    """``cells`` with everything at its default that memory does not depend on, each once, in order.

    Raises:
        ConfigError: the sizes of a cell's images are not known without its files, or it runs on several ranks.
    """
    distinct = list(dict.fromkeys(_changed(cell) for cell in cells))
    for cell in distinct:
        shape_of(cell)
        if cell.ranks > 1:
            raise ConfigError(f"ranks = {cell.ranks} can be measured, but not planned; legal: 1")
    return distinct


def baseline_of(cell: Cell) -> Cell:
    """BP on the same cell."""
    return _changed(cell, method=BASELINE)


def at_batch(cell: Cell, batch_size: int) -> Cell:
    """The same cell at another batch size."""
    return _changed(cell, batch_size=batch_size)


def lines_of(cells: Iterable[Cell]) -> list[Cell]:
    """One memory cell, of the smallest legal batch, for all that differ in nothing but the batch size, in order."""
    return list(dict.fromkeys(map(_at_smallest_batch, cells)))


def _at_smallest_batch(cell: Cell) -> Cell:
    for batch_size in range(1, cell.batch_size):
        try:
            return at_batch(cell, batch_size)
        except ConfigError:  # too few for the network, or for the parts that the method cuts it into
            continue
    return cell


def shape_of(cell: Cell) -> tuple[tuple[int, int, int], int]:
    """``(channels, height, width)`` of the images of ``cell``, and the number of classes, without any file.

    Raises:
        ConfigError: only files can tell, as with an image folder.
    """
    if cell.dataset == "random":
        return synthetic_shape(cell.image_size, cell.channels, cell.classes)
    info = dataset_info(cell.dataset)
    if info.shape is None or info.classes is None:
        raise ConfigError(
            f"dataset = {cell.dataset!r} cannot be planned: only its files tell the number of classes. Synthetic "
            f"images of the same sizes take the same bytes: --set dataset=random "
            f"--set image_size={cell.image_size or 'N'} --set channels={cell.channels or 3} --set classes=N"
        )
    return info.shape, info.classes


def _changed(cell: Cell, **axes: object) -> Cell:
    kept = {name: value for name, value in cell if name in MEMORY_AXES}
    # What can't be planned says so when it is asked; until then it has to be a legal cell.
    if why_not_planned(str(axes.get("method", cell.method))) is not None:
        kept["device"] = cell.device
    return make_cell(kept | {"passes": ["latency" if cell.compile else "memory"]} | axes)
