"""Which images a backbone takes: arithmetic on heights and widths in pixels."""

from dataclasses import dataclass
from itertools import count
from typing import Protocol

Shape = tuple[int, int, int]  # channels, height, width

# Images of at most so many pixels a side get the usual small variants of backbones.
SMALL_SIDE = 64


def is_small(height: int, width: int) -> bool:
    """Whether images of ``height`` by ``width`` pixels get the small variant of a backbone, if it has one."""
    return max(height, width) <= SMALL_SIDE


class Sides(Protocol):
    """The heights and widths that a family of backbones takes."""

    def refuse(self, height: int, width: int) -> str | None:
        """Return None if images of ``height`` by ``width`` pixels are legal, or else say which sides are."""


@dataclass(frozen=True)
class Window:
    """A convolution or a pooling, which shrinks both sides in the same way.

    Attributes:
        kernel: pixels a side of the window.
        stride: pixels from one window to the next.
        padding: pixels added at each edge.
        rounds_up: whether pixels that are left at the far edge get a window of their own.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    rounds_up: bool = False

    def after(self, side: int) -> int:
        """Return the side of the output for an input of ``side`` pixels; less than 1 if the input is too small."""
        room = side + 2 * self.padding - self.kernel
        return (-(-room // self.stride) if self.rounds_up else room // self.stride) + 1


HALVING = Window(kernel=3, stride=2, padding=1)


@dataclass(frozen=True)
class Windows:
    """The windows ``large`` one after the other, or the windows ``small`` for small images if they are given."""

    large: tuple[Window, ...]
    small: tuple[Window, ...] | None = None

    def refuse(self, height: int, width: int) -> str | None:
        """Refuse sides that shrink to nothing."""
        windows = self._windows(height, width)
        if _shrunk(min(height, width), windows):
            return None
        return f"{next(side for side in count(1) if _shrunk(side, windows))} or more"

    def _windows(self, height: int, width: int) -> tuple[Window, ...]:
        return self.large if self.small is None or not is_small(height, width) else self.small


def _shrunk(side: int, windows: tuple[Window, ...]) -> int:
    """Return ``side`` after ``windows``; 0 if it becomes too small for one of them."""
    for window in windows:
        side = window.after(side)
        if side < 1:
            return 0
    return side


@dataclass(frozen=True)
class AnySides:
    """All sides are legal, as where a backbone stops pooling once the shorter side is one pixel."""

    def refuse(self, _height: int, _width: int) -> None:
        """Refuse nothing."""


@dataclass(frozen=True)
class Patches:
    """Square patches that tile the image, of ``small`` pixels a side in small images and of ``large`` in others."""

    small: int
    large: int

    def patch(self, height: int, width: int) -> int:
        """Return the side of a patch, in pixels, of images of ``height`` by ``width`` pixels."""
        return self.small if is_small(height, width) else self.large

    def refuse(self, height: int, width: int) -> str | None:
        """Refuse sides that are not multiples of the patch's side."""
        patch = self.patch(height, width)
        if height % patch == 0 and width % patch == 0:
            return None
        return f"multiples of {self.small} up to {SMALL_SIDE}, multiples of {self.large} above"


@dataclass(frozen=True)
class Partitions:
    """Square images that are halved, and from the second halving on tiled by partitions of ``side`` pixels a side.

    Attributes:
        side: pixels a side of a partition.
        halvings: the number of halvings, which round up.
    """

    side: int
    halvings: int

    def refuse(self, height: int, width: int) -> str | None:
        """Refuse images that are not square, and sides that partitions do not tile."""
        halved = [_halved(height, times) for times in range(2, self.halvings + 1)]
        if height == width and not any(side % self.side for side in halved):
            return None
        step = self.side * 2**self.halvings
        return f"squares of {step - 3} to {step} pixels, {2 * step - 3} to {2 * step}, and so on"


def _halved(side: int, times: int) -> int:
    return -(-side >> times)  # rounds up
