"""The sweep's end of a fork server: starts it, sends it requests, ends it."""

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NoReturn, Self

from bench.errors import BenchError
from bench.execute.forkserver import FAILED, READY
from bench.execute.messages import Answer, Request
from bench.execute.server_process import ServerProcess
from bench.execute.servers import forget_server, kill_orphans, start_server
from bench.machine.descendants import children
from bench.machine.malloc import kept_memory
from bench.machine.os_error import describe_os_error
from bench.machine.search_path import python_command

_SECONDS_TO_END = 2
_CELLS_TO_GIVE_UP = 3


class ForkServer:
    """A process that has loaded torch and forks one child per request; see :mod:`bench.execute.forkserver`.

    The server starts with the first request, or with :meth:`start`. If it is killed during a request, this process
    adopts and kills what the cell has started, and the next request starts another server. If that happens with three
    cells in a row, or if the server cannot start or fails itself, no other cell would fare better: an error says why.

    One thread at a time asks a server; any thread may close it, also while another one asks. Several servers of this
    process may be asked at the same time.

    Args:
        preload: modules that the server imports before the first request, in addition to those that every cell needs.
        command: the server's command line, to which two file descriptors and ``preload`` are appended; None for the
            server of :mod:`bench.execute.forkserver`.
        environment: makes the server's environment variables, in addition to those of this process, when it starts.
    """

    def __init__(
        self,
        preload: Sequence[str] = (),
        command: Sequence[str] | None = None,
        environment: Callable[[], Mapping[str, str]] = kept_memory,
    ) -> None:
        self._preload = preload
        self._command = command
        self._environment = environment
        self._server: ServerProcess | None = None
        self._is_ready = False
        self._is_closed = False
        self._asking = threading.Lock()
        self._starting = threading.Lock()  # so that no server starts beside or after close()
        self._other_children: frozenset[int] = frozenset()  # that no cell has started
        self._ended_with: set[str] = set()  # the ids of the cells that ran when a server ended, since the last answer

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None while there is none."""
        return None if self._server is None else self._server.process.pid

    def start(self) -> int:
        """Starts the server unless it runs already, and returns its process id before it has loaded torch.

        Raises:
            BenchError: no process can be started, ``environment`` refuses, or :meth:`close` was called.
        """
        return self._started().process.pid

    def ask(self, request: Request) -> Answer:
        """Sends ``request`` and waits for its answer, which says so if the server is killed.

        Raises:
            BenchError: no cell can run: the server cannot start, has failed itself, was killed with three cells in a
                row, or was closed, or ``environment`` refuses. The message says why.
        """
        with self._asking:
            server = self._started()
            try:
                return self._ask(server, request)
            except OSError as error:  # too few file descriptors are left to wait for it
                raise BenchError(f"no cell can run: {describe_os_error(error)}") from error

    def close(self) -> None:
        """Ends the server, and the cell that it may be running, for good."""
        with self._starting:
            self._is_closed = True
            server = self._server
        if not self._asking.acquire(blocking=False):
            if server is not None:
                server.process.kill()  # the thread that asks notices it, and clears up
            self._asking.acquire()
        try:
            self._end()
        finally:
            self._asking.release()

    def _end(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        try:
            code = server.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            server.process.kill()
            code = server.process.wait()
        forget_server(server)
        if code != 0:  # it did not kill what its cell has started
            kill_orphans(self._other_children)

    def _ask(self, server: ServerProcess, request: Request) -> Answer:
        self._other_children = children()
        if not self._is_ready and server.read_line() != READY:
            self._give_up(server, "the fork server cannot start")
        self._is_ready = True
        server.send(request.line())
        reply = server.read_line()
        if reply.endswith(b"\n"):
            self._ended_with.clear()
            return Answer.parse(reply)
        self._ended_with.add(request.cell.id)
        if len(self._ended_with) == _CELLS_TO_GIVE_UP:
            self._give_up(server, f"the fork server ended while it ran each of {_CELLS_TO_GIVE_UP} cells in a row")
        code, printed = self._clear_up(server)
        if code == FAILED:
            raise BenchError(f"no cell can run: the fork server failed: {printed}")
        message = f"the fork server ended with code {code} while the cell ran"
        return Answer(status="crashed", message=f"{message}; {printed}" if printed else message)

    def _started(self) -> ServerProcess:
        with self._starting:
            if self._is_closed:
                raise BenchError("no cell can run: the fork server was closed")
            if self._server is None:
                command = self._command or python_command("from bench.execute.forkserver import main; main()")
                try:
                    self._other_children = children()
                    self._server = start_server(command, self._preload, self._environment())
                except OSError as error:
                    reason = describe_os_error(error)
                    raise BenchError(f"no cell can run: no process can be started: {reason}") from error
                self._is_ready = False
            return self._server

    def _clear_up(self, server: ServerProcess) -> tuple[int, str]:
        """Waits for a server that has ended and kills what its cell has started; its exit code and last lines."""
        code, printed = server.wait()
        forget_server(server)
        kill_orphans(self._other_children)
        server.close()
        self._server = None
        return code, printed

    def _give_up(self, server: ServerProcess, what: str) -> NoReturn:
        code, printed = self._clear_up(server)
        raise BenchError(f"no cell can run: {what}: {printed or f'it ended with code {code}'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
