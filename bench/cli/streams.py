"""Standard output and standard error as the commands use them: one that cannot be written ends no command.

A reader that goes away, as ``head`` does, wants no more. On a full disk there is more to say, which
:func:`lost_output` is for. Both ways the rest of the output is dropped. Text that the encoding does not have is written
as escapes, except that the bytes of a file name that is not UTF-8 stay what they are.
"""

import codecs
import io
import os
import select
import sys
from typing import Any

_ERRORS = "sid-bench"


def guard_streams() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr``; one that was closed when Python started leads nowhere."""
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    codecs.register_error(_ERRORS, _escape)
    sys.stdout = _guarded(sys.stdout, 1, _ERRORS)
    sys.stderr = _guarded(sys.stderr, 2, "backslashreplace")


def lost_output() -> OSError | None:
    """Flush standard output, and return the error since the last call because of which output was lost."""
    output = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(output, _Output):
        return None
    sys.stdout.flush()
    error, output.error = output.error, None
    return error


class _Output(io.FileIO):
    """A file descriptor that takes no more after its first error, and says so to nobody who writes.

    Attributes:
        error: the first error, until :func:`lost_output` has returned it.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.error: OSError | None = None
        self._is_lost = False

    def write(self, data: Any) -> int:
        if not self._is_lost:
            try:
                written = super().write(data)
                while written is None:  # a pipe that is full and does not block
                    select.select([], [self], [])
                    written = super().write(data)
            except OSError as error:
                self.error = error
                self._is_lost = True
            else:
                return written
        return memoryview(data).nbytes


def _guarded(stream: io.TextIOWrapper | Any, descriptor: int, errors: str) -> io.TextIOWrapper:
    if stream is None:  # it was closed; the descriptor may be another file's by now
        return io.TextIOWrapper(io.BufferedWriter(_Output(os.open(os.devnull, os.O_WRONLY))), "utf-8", errors)
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor)),
        stream.encoding,
        errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_if_closed(descriptor: int) -> None:
    """Open the null device in place of a standard stream, so that no other file gets its number.

    The processes of the cells inherit it, and what they print would go into that file.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        os.set_inheritable(descriptor, True)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)
