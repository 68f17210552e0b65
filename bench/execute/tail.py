"""The end of what a process has printed, from a pipe that is read while the process runs. Needs no file."""

import os

_KEPT_BYTES = 2000
_CHUNK_BYTES = 1 << 16


class Tail:
    """Keeps the last 2000 bytes of what is added."""

    def __init__(self) -> None:
        self._kept = b""

    def add(self, printed: bytes) -> None:
        """Appends ``printed``."""
        self._kept = (self._kept + printed)[-_KEPT_BYTES:]

    def text(self) -> str:
        """What was kept, without white space around it."""
        return self._kept.decode(errors="replace").strip()


def drain(pipe: int) -> bytes:
    """Reads what is in the pipe, without waiting for processes that still hold its other end."""
    os.set_blocking(pipe, False)
    received = b""
    try:
        while chunk := os.read(pipe, _CHUNK_BYTES):
            received += chunk
    except BlockingIOError:
        pass
    return received
