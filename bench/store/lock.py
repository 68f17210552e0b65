"""The lock that keeps a second sweep from a results file.

It is the operating system's lock on the open file (``flock``), which ends with the process however that ends. Some file
systems have none (Lustre without the option ``flock``, some NFS servers). There the lock is a file ``FILE.lock`` with
the host and the process that hold it. After a kill it stays. A later sweep on the same host finds that the process has
ended, and takes the lock over; from another host that cannot be told, so the sweep is refused and the message names the
file to remove.
"""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError

_NO_LOCKS_HERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
_IS_WRITTEN = "is being written by another sid-bench run; give this one another --out"


class Lock:
    """An exclusive lock on a results file, held until :meth:`release`.

    Args:
        path: the results file.
        file: its open file descriptor; closing it releases the lock where the file system has locks.

    Raises:
        StoreError: another sweep holds the lock, or it cannot be taken.
    """

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._lock_file: Path | None = None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{path} {_IS_WRITTEN}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise StoreError(f"cannot lock {path}: {error.strerror}") from None
            self._lock_file = Path(f"{os.path.realpath(path)}.lock")
            self._make_lock_file(self._lock_file)

    def release(self) -> None:
        """Remove the lock file, if the lock is one."""
        if self._lock_file is not None:
            self._lock_file.unlink(missing_ok=True)

    def _make_lock_file(self, lock_file: Path) -> None:
        owner = f"{socket.gethostname()} {os.getpid()}"
        try:
            for _ in range(2):  # the second time after a lock that was left behind
                with suppress(FileExistsError):
                    file = os.open(lock_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                    break
                self._remove_if_left_behind(lock_file)
            else:
                raise StoreError(f"{self._path} {_IS_WRITTEN}")
            with os.fdopen(file, "w", encoding="utf-8") as opened:
                opened.write(owner)
        except OSError as error:
            raise StoreError(f"cannot lock {self._path} with {lock_file}: {error.strerror}") from None

    def _remove_if_left_behind(self, lock_file: Path) -> None:
        """Remove the lock of a process of this host that has ended.

        Raises:
            StoreError: the process runs, or runs perhaps.
            OSError: the lock cannot be read or removed.
        """
        try:
            owner = lock_file.read_bytes()
        except FileNotFoundError:
            return
        host, _, process = owner.decode(errors="backslashreplace").rpartition(" ")
        if host != socket.gethostname() or not process.isdecimal() or _runs(int(process)):
            raise StoreError(
                f"{self._path} {_IS_WRITTEN}: by process {process or '?'} on {host or '?'}. If that process has ended, "
                f"remove {lock_file}"
            )
        aside = lock_file.with_name(f"{lock_file.name}.{os.getpid()}")
        lock_file.rename(aside)
        is_other = aside.read_bytes() != owner  # a third sweep has taken the lock over since
        if is_other:
            os.link(aside, lock_file)
        aside.unlink()
        if is_other:
            raise StoreError(f"{self._path} {_IS_WRITTEN}")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
