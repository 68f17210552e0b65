"""Image folders, decoded once: the pixels are kept in the cache folder and mapped into memory by later processes.

What is kept is used while nothing has changed that it depends on: the names, sizes and times of all files, the size and
the channels that are asked for, the versions of Pillow and its libraries, and the code that reads images. There is one
file for each folder, size and number of channels.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import PIL
from PIL import features

from bench.config.file_names import shown
from bench.machine.cache_folder import OFF, VARIABLE, cache_folder
from bench.machine.kept_arrays import Array, load_kept, store_kept
from bench.train.datasets import image_file

# A file system may tell two changes of a file apart only if so many seconds lie between them.
_SETTLED_SECONDS = 2.0
_LIBRARIES = ("jpg", "jpg_2000", "libtiff", "libjpeg_turbo", "webp", "avif", "zlib", "zlib_ng", "littlecms2")


class ImageFile(NamedTuple):
    """An image file of a folder, the number of its class, and what the file system says of it."""

    path: Path
    label: int
    status: os.stat_result


class Decoded(NamedTuple):
    """The images of both splits, ``[N, channels, H, W]``, and sentences about them that a person should read."""

    train: Array
    test: Array
    notes: tuple[str, ...] = ()


def decoded_once(
    root: Path,
    files: Sequence[ImageFile],
    image_size: int | None,
    channels: int,
    decode: Callable[[], Decoded],
) -> Decoded:
    """What ``decode`` gives, from the cache if it is there, else kept there.

    Nothing is kept while a file has changed within the last two seconds, or changes while ``decode`` runs.

    Args:
        root: of the image folder.
        files: all image files of both splits, in their order.
        image_size: what images are resized to, or None.
        channels: 1 or 3.
        decode: reads the files.
    """
    folder = cache_folder()
    if folder is None:
        return decode()
    asked_at = time.time()
    place = f"{os.fsdecode(os.path.realpath(root))} {image_size} {channels}"
    key = _key(root, files, image_size, channels)
    kept = load_kept(folder, place, key)
    if kept is not None:
        return Decoded(kept["train"], kept["test"])
    decoded = decode()
    newest = max(file.status.st_ctime for file in files)
    if asked_at - newest < _SETTLED_SECONDS or _has_changed(files):
        return decoded
    about = f"{shown(root.absolute())}, {'x'.join(map(str, decoded.train.shape[1:]))}, images: {len(files)}"
    try:
        store_kept(folder, place, key, about, {"train": decoded.train, "test": decoded.test})
    except OSError as error:
        note = (
            f"decoded images cannot be kept in {shown(folder)}: {error.strerror}, so each cell reads {shown(root)} "
            f"anew; legal: another folder in {VARIABLE}, or {OFF}"
        )
        return decoded._replace(notes=(*decoded.notes, note))
    return decoded


def _key(root: Path, files: Sequence[ImageFile], image_size: int | None, channels: int) -> str:
    digest = hashlib.blake2b(f"{_reader()} {image_size} {channels}".encode(), digest_size=32)
    for path, label, status in files:
        times = (status.st_mtime_ns, status.st_ctime_ns)
        digest.update(repr((os.fsencode(path.relative_to(root)), label, status.st_size, *times)).encode())
    return digest.hexdigest()


@cache
def _reader() -> str:
    """What the pixels of a file depend on besides the file: versions, and the code that reads it."""
    libraries = [(name, features.version(name)) for name in _LIBRARIES if name in _known()]
    code = hashlib.blake2b(Path(image_file.__file__).read_bytes()).hexdigest()
    return f"{PIL.__version__} {libraries} {code}"


def _known() -> frozenset[str]:
    return frozenset(features.get_supported())


def _has_changed(files: Sequence[ImageFile]) -> bool:
    try:
        return any(_identity(file.path.stat()) != _identity(file.status) for file in files)
    except OSError:
        return True


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
