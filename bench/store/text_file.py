"""Files that a command writes as a whole.

An existing file is replaced at once or not at all, and never if it is an input of the command or holds records.
"""

import codecs
import errno
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from bench.errors import StoreError
from bench.store.record import FIRST_KEY

# Reasons why no file can be renamed to another: the folder takes no new files, or the file is a mount of its own.
_CANNOT_REPLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)


def refuse_overlaps(outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path]) -> None:
    """Check that writing ``outputs`` loses nothing.

    Two paths are one file if they differ only in spelling, by symbolic links, or are hard links. Devices and pipes are
    not checked: nothing is lost in them.

    Args:
        outputs: each file that the command will write, after a name for it, such as ``--out``.
        inputs: the files that the command reads.

    Raises:
        StoreError: an output is an input or another output.
    """
    read = {_identity(path): path for path in inputs}
    written: dict[object, tuple[str, Path]] = {}
    for name, path in outputs:
        if is_special(path):
            continue
        identity = _identity(path)
        if identity in read:
            raise StoreError(f"{name} {path} would replace the input {read[identity]}; legal: any other file")
        if identity in written:
            other_name, other = written[identity]
            raise StoreError(f"{name} {path} would replace {other_name} {other}; legal: any other file")
        written[identity] = (name, path)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8; see :func:`write_bytes`.

    What UTF-8 cannot encode, such as the bytes of a file name that is not UTF-8, is written as escapes.

    Raises:
        StoreError: the file cannot be written, or holds records; it is then unchanged.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, and create its parent directories.

    A regular file keeps its permissions and is complete at any time, because it is replaced when all of ``data`` is on
    the disk. A symbolic link stays, and the file it points to is replaced.

    Raises:
        StoreError: the file cannot be written, or holds records; it is then unchanged.
    """
    try:
        if _holds_records(path):
            raise StoreError(f"cannot write {path}: it is a results file, whose records would be lost")
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = standard_stream(path)
        if stream is not None:
            stream.flush()
            stream.buffer.write(data)
            stream.buffer.flush()
        elif is_special(path):
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None


def standard_stream(path: Path) -> TextIO | None:
    """Return standard output or standard error if ``path`` is the same file, as ``/dev/stdout`` is; else None.

    A second file opened on it would begin to write at its start.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # there is no such path, or no such stream
            if os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                return stream
    return None


def _replace(target: Path, data: bytes) -> None:
    """Write ``data`` to a temporary file and rename it to ``target``, in place of a file that may be there."""
    status = target.stat() if target.exists() else None
    if status is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:  # noqa: PTH123
            if status is not None:
                with suppress(PermissionError):  # only root may give a file to another user
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        if status is None or error.errno not in _CANNOT_REPLACE:
            raise
        target.write_bytes(data)
    finally:
        temporary.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Return whether ``path`` exists and is a device, a pipe, a socket or a directory."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _identity(path: Path) -> object:
    """A value that is equal for two paths of one file; a file that does not exist yet is known by its real path."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _holds_records(path: Path) -> bool:
    """Whether the first line that is not blank is a record, whole or cut short."""
    if is_special(path):
        return False
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip()), b"")
    except OSError:
        return False
    first = first.removeprefix(codecs.BOM_UTF8).lstrip()
    if first.startswith(FIRST_KEY):
        return True
    if not first.startswith(b"{"):
        return False
    try:
        parsed = json.loads(first)
    except (ValueError, RecursionError):  # not JSON, or too deep nesting, which no reader of records takes
        return False
    return isinstance(parsed.get("schema"), int)
