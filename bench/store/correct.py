"""Which images were predicted correctly, as bits in a text."""

import base64
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

_BITS_PER_BYTE = 8


class Correct(BaseModel):
    """Whether the prediction of each image was correct, in the order of the images.

    Attributes:
        images: the number of images.
        bits: one bit per image, 1 for correct, packed by :func:`numpy.packbits` and encoded in base64. Bits after the
            last image are 0.

    Raises:
        pydantic.ValidationError: ``bits`` is not base64, has another length than ``images`` needs, or has other bits
            after the last image than 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    images: Annotated[int, Field(ge=1)]
    bits: str

    @model_validator(mode="after")
    def _has_a_bit_per_image(self) -> Self:
        try:
            packed = base64.b64decode(self.bits, validate=True)
        except ValueError as error:
            raise ValueError(f"bits = {self.bits[:30]!r} are not base64: {error}") from None
        needed = -(-self.images // _BITS_PER_BYTE)
        if len(packed) != needed:
            raise ValueError(f"bits hold {len(packed)} bytes for {self.images} images; legal: {needed} bytes")
        unused = _BITS_PER_BYTE * needed - self.images
        if packed[-1] & ((1 << unused) - 1) or base64.b64encode(packed).decode() != self.bits:
            raise ValueError(f"bits are set after the last of {self.images} images; legal: 0")
        return self

    @classmethod
    def pack(cls, correct: ArrayLike) -> Self:
        """Return the bits of ``correct``, bool ``[images]``, of one or more images."""
        flags = np.asarray(correct, dtype=bool)
        return cls(images=len(flags), bits=base64.b64encode(np.packbits(flags).tobytes()).decode())

    @property
    def share(self) -> float:
        """The fraction of images that were predicted correctly."""
        return int.from_bytes(base64.b64decode(self.bits)).bit_count() / self.images

    def decode(self) -> NDArray[np.bool_]:
        """Return whether each image was predicted correctly, bool ``[images]``."""
        packed = np.frombuffer(base64.b64decode(self.bits), dtype=np.uint8)
        return np.unpackbits(packed, count=self.images).view(bool)
