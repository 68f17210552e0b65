"""How many images a cell trains on, as far as it is known without loading them."""

from bench.config.cell import Cell
from bench.config.datasets import load_dataset_row, synthetic_training_images

_VALIDATION_SHARE = 0.1


def validation_images(images: int) -> int:
    """How many of so many training images are held out for validation: a tenth, and at least one."""
    return max(1, round(images * _VALIDATION_SHARE))


def known_samples(cell: Cell) -> int | None:
    """The images of the training split of ``cell``, validation apart; None where only the data can tell."""
    if cell.dataset == "random":
        images: int | None = synthetic_training_images(cell.batch_size)
    else:
        images = load_dataset_row(cell.dataset).train_images
    if images is None:
        return None
    images = min(images, cell.train_samples or images)
    return images - validation_images(images)
