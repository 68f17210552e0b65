"""What an error of the operating system says, with the limit to raise."""

import errno

from bench.errors import first_line

_ADVICE = {
    errno.EAGAIN: "too many processes or threads: end some, or raise ulimit -u",
    errno.EMFILE: "too many open files: raise ulimit -n",
    errno.ENFILE: "too many open files on this machine: close some",
    errno.ENOMEM: "memory ran out: free some",
    errno.ENOSPC: "a disk or /dev/shm is full: free some of it",
}


def describe_os_error(error: BaseException) -> str:
    """The type and the first line of ``error``, and what to do about it where that is known."""
    advice = _ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"{first_line(error)} ({advice})" if advice else first_line(error)
