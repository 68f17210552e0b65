"""From normalised images back to pixels in 0..1."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_BYTES = (0.0, 255.0)


@dataclass(frozen=True)
class PixelScale:
    """The linear map from normalised images to pixels: ``images * factor + offset``, cut to 0..1.

    Attributes:
        factor: of each channel, ``[1, channels, 1, 1]``.
        offset: of each channel, likewise.
    """

    factor: Tensor
    offset: Tensor

    @classmethod
    def of(cls, raw: Tensor, mean: Tensor, deviation: Tensor) -> Self:
        """The scale of training images that were normalised by ``mean`` and ``deviation``.

        Args:
            raw: ``[N, channels, H, W]``. Bytes have the range 0 to 255, other numbers that from the least to the
                greatest of ``raw``.
            mean: of each channel, ``[1, channels, 1, 1]``.
            deviation: likewise.
        """
        low, high = _BYTES if raw.dtype == torch.uint8 else (float(raw.min()), float(raw.max()))
        width = (high - low) or 1.0
        return cls(deviation / width, (mean - low) / width)

    @classmethod
    def identity(cls, channels: int) -> Self:
        """The scale of images that are pixels already."""
        return cls(torch.ones(1, channels, 1, 1), torch.zeros(1, channels, 1, 1))

    def to(self, device: str) -> Self:
        """The scale on ``device``."""
        if device == "cpu":  # tensors without contents cannot be moved even to where they are
            return self
        return type(self)(self.factor.to(device), self.offset.to(device))

    def pixels(self, images: Tensor) -> Tensor:
        """``images`` ``[B, channels, H, W]`` as pixels in 0..1, of the same shape."""
        return torch.addcmul(self.offset, images, self.factor).clamp_(0, 1)
