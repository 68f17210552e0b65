"""The shape of a cell's images, as far as it is known without loading them."""

from bench.config.cell import Cell
from bench.config.datasets import load_dataset_row, synthetic_shape

Shape = tuple[int, int, int]  # channels, height, width


def sides_of(cell: Cell) -> tuple[int, int] | None:
    """Height and width in pixels; None where only the data can tell."""
    row = load_dataset_row(cell.dataset)
    if row.shape is not None:
        return row.shape[1:]
    if cell.dataset == "random" or cell.image_size is not None:
        shape, _ = synthetic_shape(cell.image_size, cell.channels, cell.classes)
        return shape[1:]
    return None


def known_shape(cell: Cell) -> tuple[Shape, int] | None:
    """``(channels, height, width)`` and the number of classes; None where only the data can tell."""
    if cell.dataset == "random":
        return synthetic_shape(cell.image_size, cell.channels, cell.classes)
    row = load_dataset_row(cell.dataset)
    return None if row.shape is None or row.classes is None else (row.shape, row.classes)
