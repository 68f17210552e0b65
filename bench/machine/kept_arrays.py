"""Arrays that are kept in files of the cache folder, and are mapped into memory when they are needed again.

A file is a magic line, a digest of all that follows, the length of a header, the header in JSON, and the arrays. It is
written beside its place and moved there when it is complete, so that a reader sees all of it or nothing, and one that
has it open keeps what it has. A file that does not fit its digest counts as none.
"""

import hashlib
import json
import math
import mmap
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"sid-bench arrays 1\n"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_PREFIX = len(_MAGIC) + _DIGEST_BYTES + _LENGTH_BYTES
_MOST_HEADER_BYTES = 1 << 20
_ALIGNMENT = 64
_SUFFIX = ".arrays"
_UNFINISHED = ".unfinished"
_ABANDONED_SECONDS = 3600.0  # after which an unfinished file is one of a process that was killed

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Kept:
    """A file of the cache.

    Attributes:
        path: of the file.
        about: what it was made from, for a person; None where the file is damaged or unfinished.
        size_bytes: of the file.
    """

    path: Path
    about: str | None
    size_bytes: int


def load_kept(folder: Path, place: str, key: str) -> dict[str, Array] | None:
    """The arrays that were stored at ``place`` with this ``key``; None if there are none, or the file is damaged.

    They are mapped into memory; what is written to them stays in this process.

    Args:
        folder: the cache.
        place: what the arrays stand for; a later store at the same place replaces them.
        key: changes with everything that the arrays depend on.
    """
    with suppress(OSError, ValueError), _path(folder, place).open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if not _is_sound(content):
            return None
        header, start = _header(content)
        if header["key"] != key:
            return None
        return {
            name: np.frombuffer(content, dtype, count=math.prod(shape), offset=start + offset).reshape(shape)
            for name, dtype, shape, offset in header["arrays"]
        }
    return None


def store_kept(folder: Path, place: str, key: str, about: str, arrays: Mapping[str, Array]) -> None:
    """Store ``arrays`` for :func:`load_kept`.

    Args:
        folder: the cache; it is made if it is missing.
        place: as there.
        key: as there.
        about: what the arrays were made from, for a person.
        arrays: by name; contiguous, of numbers.

    Raises:
        OSError: the file cannot be written; what was at the place before is still there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(folder)
    header = _packed_header(key, about, arrays)
    digest = hashlib.blake2b(header, digest_size=_DIGEST_BYTES)
    handle, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + bytes(_DIGEST_BYTES) + header)
            for array in arrays.values():
                for part in (array.reshape(-1).view(np.uint8).data, bytes(_padding(array.nbytes))):
                    digest.update(part)
                    file.write(part)
            file.seek(len(_MAGIC))
            file.write(digest.digest())
        Path(name).replace(_path(folder, place))
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def list_kept(folder: Path) -> list[Kept]:
    """The files of the cache, by name.

    Raises:
        OSError: the folder cannot be read.
    """
    return [Kept(path, _about(path), path.stat().st_size) for path in sorted(_files(folder))]


def clear_kept(folder: Path) -> int:
    """Remove the files of the cache, and no others; returns how many there were.

    Raises:
        OSError: a file cannot be removed.
    """
    paths = list(_files(folder))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _path(folder: Path, place: str) -> Path:
    return folder / (hashlib.blake2b(place.encode(errors="surrogateescape"), digest_size=16).hexdigest() + _SUFFIX)


def _packed_header(key: str, about: str, arrays: Mapping[str, Array]) -> bytes:
    """The length of the header, and the header, whose offsets count from its own end."""
    entries = []
    offset = 0
    for name, array in arrays.items():
        entries.append([name, array.dtype.str, array.shape, offset])
        offset += array.nbytes + _padding(array.nbytes)
    text = json.dumps({"key": key, "about": about, "arrays": entries}).encode()
    text += b" " * _padding(_PREFIX + len(text))
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _padding(size: int) -> int:
    """The bytes from ``size`` to the next place where an array may begin."""
    return -size % _ALIGNMENT


def _header(content: mmap.mmap) -> tuple[dict[str, Any], int]:
    """The header of a file, and where the arrays begin.

    Raises:
        ValueError: there is none.
    """
    length = int.from_bytes(content[_PREFIX - _LENGTH_BYTES : _PREFIX], "little")
    if content[: len(_MAGIC)] != _MAGIC or length > _MOST_HEADER_BYTES:
        raise ValueError("it is no file of arrays")
    try:
        header = json.loads(content[_PREFIX : _PREFIX + length])
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    return header, _PREFIX + length


def _is_sound(content: mmap.mmap) -> bool:
    start = len(_MAGIC)
    with memoryview(content) as view:
        digest = hashlib.blake2b(view[start + _DIGEST_BYTES :], digest_size=_DIGEST_BYTES)
        return bytes(view[start : start + _DIGEST_BYTES]) == digest.digest()


def _about(path: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
        return str(_header(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[0]["about"])
    return None


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.suffix in (_SUFFIX, _UNFINISHED))


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    for path in folder.glob(f"*{_UNFINISHED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
