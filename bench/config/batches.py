"""Whether the batches of a cell, and the parts of its batches, have enough images for its network.

A network whose BatchNorm sees one value per channel cannot train on a single image. Such an image may come as a whole
batch, as the last batch of an epoch, or as one of several micro-batches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.config.cell import Cell, Pass
from bench.config.methods import load_method
from bench.config.plugins import resolve
from bench.config.shapes import Shape
from bench.errors import ConfigError

# With 1000, convolutions on a CPU take 1.5 times as long: activations do not fit the cache.
EVALUATION_BATCH = 128


@dataclass(frozen=True)
class SampleCounts:
    """The number of images in each split."""

    train: int
    validation: int
    test: int


def refuse_single_images(cell: Cell, shape: Shape, classes: int, samples: SampleCounts | None = None) -> None:
    """Checks that the network of ``cell`` works on the smallest batch, and part of a batch, that the cell gives it.

    A network is built and run, without arithmetic, only where that is a single image.

    Args:
        cell: a legal cell.
        shape: ``(channels, height, width)`` of its images.
        classes: their number of classes.
        samples: the sizes of the splits; None where only the data can tell, which leaves out the last batches.

    Raises:
        ConfigError: it does not; the message has batch size, network and legal batch sizes near it.
    """
    _refuse_in_training(cell, shape, classes, samples)
    if "inference" in cell.passes and cell.batch_size == 1:
        _refuse_in_prediction(cell, shape, classes)
    if samples is not None and "accuracy" in cell.passes:
        _refuse_in_evaluation(cell, shape, classes, samples)


def _refuse_in_training(cell: Cell, shape: Shape, classes: int, samples: SampleCounts | None) -> None:
    parts = _parts(cell)
    batches = sorted(_batches(cell.batch_size, cell.passes, samples), reverse=True)
    batch = next((size for size in batches if not _fits(size, parts)), None)
    reason = None if batch is None else _why_not_one(cell, shape, classes, is_training=True)
    if batch is not None and reason is not None:
        in_parts = f" in micro_batches = {parts}" if parts > 1 else ""
        raise ConfigError(
            f"batch_size = {cell.batch_size}{in_parts} makes {_place(cell, batch, parts, samples)}, and network "
            f"{cell.network} cannot train on 1 image of {_text(shape)} ({reason}); legal: "
            f"{_legal(cell, parts, samples)}"
        )


def _refuse_in_prediction(cell: Cell, shape: Shape, classes: int) -> None:
    reason = _why_not_one(cell, shape, classes, is_training=False)
    if reason is not None:
        raise ConfigError(
            f"batch_size = 1 in the pass inference, and network {cell.network} cannot evaluate 1 image of "
            f"{_text(shape)} ({reason}); legal: 2 or more"
        )


def _refuse_in_evaluation(cell: Cell, shape: Shape, classes: int, samples: SampleCounts) -> None:
    for split, number in (("validation", samples.validation), ("test", samples.test)):
        hint = " (a tenth of train_samples)" if split == "validation" else ""
        reason = None
        if number % EVALUATION_BATCH == 1:
            reason = _why_not_one(cell, shape, classes, is_training=False)
        if reason is not None:
            raise ConfigError(
                f"dataset = {cell.dataset!r} has {number} {split} images, evaluated in batches of {EVALUATION_BATCH}, "
                f"the last of 1 image, and network {cell.network} cannot evaluate 1 image of {_text(shape)} "
                f"({reason}); legal: another number of {split} images{hint}"
            )


def _parts(cell: Cell) -> int:
    """The parts that a batch goes through the network in."""
    settings = load_method(cell.method).settings_for(cell)
    return int(settings.get("micro_batches") or cell.micro_batches or 1)


def _batches(batch_size: int, passes: Iterable[Pass], samples: SampleCounts | None) -> set[int]:
    """The sizes of the batches of training: the passes on one batch fill it, and an epoch ends with what is left."""
    if samples is None:
        return {batch_size} if set(passes) - {"inference"} else set()
    sizes = {batch_size} if {"memory", "latency"} & set(passes) else set()
    if "accuracy" in passes:
        full, rest = divmod(samples.train, batch_size)
        sizes |= ({batch_size} if full else set()) | ({rest} if rest else set())
    return sizes


def _fits(size: int, parts: int) -> bool:
    """Whether no part of a batch has a single image; a batch of fewer images than parts goes through one by one."""
    return size // min(size, parts) > 1


def _place(cell: Cell, batch: int, parts: int, samples: SampleCounts | None) -> str:
    """Where in a batch of so many images the single one is."""
    is_last = batch != cell.batch_size
    of_epoch = f" of the {samples.train} of an epoch" if samples is not None else ""
    if parts > 1 and batch != 1:
        return "a micro-batch of 1 image" + (f" of the last batch, {batch}{of_epoch}" if is_last else "")
    return f"a last batch of 1 image{of_epoch}" if is_last else "a batch of 1 image"


def _legal(cell: Cell, parts: int, samples: SampleCounts | None) -> str:
    """The legal batch sizes next to that of ``cell``, or what else to change."""
    if samples is None:
        near = f"{2 * parts} or more"
    else:
        below = range(cell.batch_size - 1, 0, -1)
        above = range(cell.batch_size + 1, max(samples.train, 2 * parts) + 1)
        sizes = [
            next((size for size in side if _is_legal(size, cell, parts, samples)), None) for side in (below, above)
        ]
        near = " or ".join(str(size) for size in sizes if size is not None)
        near = near or f"more training images than {samples.train}"
    return near + (", or fewer micro_batches" if parts > 1 else "")


def _is_legal(batch_size: int, cell: Cell, parts: int, samples: SampleCounts) -> bool:
    return all(_fits(size, parts) for size in _batches(batch_size, cell.passes, samples))


def _why_not_one(cell: Cell, shape: Shape, classes: int, *, is_training: bool) -> str | None:
    reason: str | None = resolve("bench.train.networks.single_image:why_not_one_image")(
        cell, shape, classes, is_training=is_training
    )
    return reason


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
