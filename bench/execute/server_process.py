"""A running fork server as the sweep sees it: its process, the pipes for requests and replies, and what it printed."""

import os
import selectors
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import BinaryIO

from bench.execute.tail import Tail, drain
from bench.machine.search_path import child_environment

_CHUNK_BYTES = 1 << 16
_SHOWN_LINES = 3


class ServerProcess:
    """A process that was started with two file descriptors at the end of its command line.

    Its standard error comes through a third pipe, which is read while the sweep waits for a reply.

    Args:
        command: the command line without the file descriptors.
        arguments: what follows them.
        environment: its environment variables, in addition to those of this process.

    Raises:
        OSError: no process or no pipe can be made.
    """

    def __init__(self, command: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        with ExitStack() as on_error, ExitStack() as always:

            def pipe(kept: int) -> tuple[int, int]:
                ends = os.pipe()
                on_error.callback(os.close, ends[kept])
                always.callback(os.close, ends[1 - kept])
                return ends

            request_reader, request_writer = pipe(1)
            reply_reader, reply_writer = pipe(0)
            error_reader, error_writer = pipe(0)
            self.process = subprocess.Popen(  # noqa: S603 (our own module)
                [*command, str(request_reader), str(reply_writer), *arguments],
                pass_fds=(request_reader, reply_writer),
                stdin=subprocess.DEVNULL,
                stderr=error_writer,
                env=child_environment() | dict(environment),
                start_new_session=True,  # so that Ctrl-C reaches the sweep only, which then ends the server
            )
            on_error.pop_all()
        self._requests: BinaryIO = os.fdopen(request_writer, "wb")
        self._replies = reply_reader
        self._errors = error_reader
        self._printed = Tail()

    def send(self, line: bytes) -> None:
        """Writes a request; does nothing if the server has ended."""
        try:
            self._requests.write(line)
            self._requests.flush()
        except BrokenPipeError:
            return  # the end of the replies tells it

    def read_line(self) -> bytes:
        """Waits for the next reply, which ends with a line feed; without one if the server ended instead."""
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            for pipe in (self._replies, self._errors):
                selector.register(pipe, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                ready = {key.fd for key, _ in selector.select()}
                if self._errors in ready:
                    printed = os.read(self._errors, _CHUNK_BYTES)
                    self._printed.add(printed)
                    if not printed:
                        selector.unregister(self._errors)
                if self._replies in ready:
                    chunk = os.read(self._replies, _CHUNK_BYTES)
                    received += chunk
                    if not chunk:
                        break
        return bytes(received)

    def wait(self) -> tuple[int, str]:
        """Waits for the server's end; returns its exit code and the last lines that it printed."""
        code = self.process.wait()
        self._printed.add(drain(self._errors))
        return code, "; ".join(self._printed.text().splitlines()[-_SHOWN_LINES:])

    def close(self) -> None:
        """Closes the pipes, which lets the server end."""
        with suppress(BrokenPipeError):  # a request that the server did not live to read
            self._requests.close()
        os.close(self._replies)
        os.close(self._errors)
