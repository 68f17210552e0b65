"""The sweep's end of a fork server: starts it, sends it requests, ends it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from bench.execute.descendants import adopt_orphans, children, kill_children
from bench.execute.messages import Answer, Request

_SECONDS_TO_END = 2
_COMMAND = (sys.executable, "-m", "bench.execute.forkserver")


@dataclass(frozen=True)
class _Connection:
    """A running server and the pipes to it."""

    server: subprocess.Popen[bytes]
    requests: BinaryIO
    replies: BinaryIO

    def close(self) -> None:
        for pipe in (self.requests, self.replies):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # a request that the server did not live to read


class ForkServer:
    """A process that has loaded torch and forks one child per request; see :mod:`bench.execute.forkserver`.

    The server starts with the first request, or with :meth:`start`. If it dies during a request, this process adopts
    and kills what the cell has started, and the next request starts another server.

    Args:
        preload: modules that the server imports before the first request, in addition to those that every cell needs.
        command: the server's command line, to which two file descriptors and ``preload`` are appended.
    """

    def __init__(self, preload: Sequence[str] = (), command: Sequence[str] = _COMMAND) -> None:
        self._preload = preload
        self._command = command
        self._connection: _Connection | None = None
        self._other_children: frozenset[int] = frozenset()  # that no cell has started

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None while there is none."""
        return None if self._connection is None else self._connection.server.pid

    def start(self) -> int:
        """Starts the server unless it runs already, and returns its process id before it has loaded torch."""
        return self._connected().server.pid

    def ask(self, request: Request) -> Answer:
        """Sends ``request`` and waits for its answer, which says so if the server dies."""
        connection = self._connected()
        self._other_children = children()
        try:
            connection.requests.write(request.line())
            connection.requests.flush()
            reply = connection.replies.readline()
        except BrokenPipeError:
            reply = b""
        if reply.endswith(b"\n"):
            return Answer.parse(reply)
        code = connection.server.wait()
        kill_children(self._other_children)
        connection.close()
        self._connection = None
        return Answer(status="crashed", message=f"the fork server ended with code {code} while the cell ran")

    def close(self) -> None:
        """Ends the server, and the cell that it may be running."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        connection.close()
        try:
            code = connection.server.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            connection.server.kill()
            code = connection.server.wait()
        if code != 0:  # it did not kill what its cell has started
            kill_children(self._other_children)

    def _connected(self) -> _Connection:
        if self._connection is None:
            adopt_orphans()
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> _Connection:
        request_reader, request_writer = os.pipe()
        reply_reader, reply_writer = os.pipe()
        server = subprocess.Popen(  # noqa: S603 (our own module)
            [*self._command, str(request_reader), str(reply_writer), *self._preload],
            pass_fds=(request_reader, reply_writer),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C reaches the sweep only, which then ends the server
        )
        os.close(request_reader)
        os.close(reply_writer)
        return _Connection(server, os.fdopen(request_writer, "wb"), os.fdopen(reply_reader, "rb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
