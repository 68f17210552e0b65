"""Image folders that tests write."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image


def write_folder(root: Path, classes: Iterable[str] = ("cat", "dog"), train: int = 3, test: int = 1) -> Path:
    """Grey images of 4x4 pixels, each of one value that no other has: ``ROOT/{train,test}/CLASS/NUMBER.png``."""
    value = 0
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                value += 1
                Image.new("L", (4, 4), value).save(root / split / name / f"{number}.png")
    return root
