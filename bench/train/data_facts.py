"""What a training step, and what a rule has beside its network, may know of the data."""

from dataclasses import dataclass

from torch import Tensor

from bench.config.shapes import Shape
from bench.train.datasets.pixels import PixelScale


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data.

    Attributes:
        shape: ``(channels, height, width)`` of the images.
        samples: the number of training samples; None where only the data can tell.
        scale: from images to pixels, on the step's device.
        transition: the matrix of the label noise, float64 ``[C, C]``; None where only the data can tell.
    """

    shape: Shape
    samples: int | None
    scale: PixelScale
    transition: Tensor | None
