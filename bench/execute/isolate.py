"""One cell, one process: the sweep's end of the fork server."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from bench.config.cell import Cell
from bench.execute.descendants import adopt_orphans, children, kill_children
from bench.machine.pin import choose_cpus
from bench.machine.system import this_system

_GOODBYE_SECONDS = 2
_CHECK_SECONDS = 24 * 3600.0  # long enough for a download
_SPARE_SHARE = 0.1


class Isolation:
    """Runs each request in a process of its own, forked from a server that has torch loaded.

    The server starts with the first request, which waits until torch is loaded. It cleans up after each cell. Should it
    die itself, this process adopts what the cell has started and kills it, and the next request starts another server.

    Args:
        data_root: where data sets lie, or None.
        download: let data sets be downloaded.
        timeout_seconds: after this, a cell is killed with all that it started.
        memory_limit_bytes: what a cell on the CPU may allocate; None: nine tenths of what is free when it starts.
        preload: modules that the server loads before the first cell, beyond what every cell needs.
        pin: bind each cell's process to CPUs of its own, see :func:`bench.machine.pin.choose_cpus`.

    Raises:
        BenchError: ``pin``, where the system cannot bind a process to CPUs.
    """

    def __init__(
        self,
        data_root: Path | None,
        download: bool,
        timeout_seconds: float,
        memory_limit_bytes: int | None,
        preload: Sequence[str] = (),
        pin: bool = False,
    ) -> None:
        if pin:
            choose_cpus(this_system(), None)  # refused before anything is measured, not at the first cell
        self._data_root = str(data_root) if data_root else None
        self._download = download
        self._timeout_seconds = timeout_seconds
        self._memory_limit_bytes = memory_limit_bytes
        self._preload = preload
        self._pin = pin
        self._server: subprocess.Popen[bytes] | None = None
        self._known_children: frozenset[int] = frozenset()  # not a cell's, so none of ours to kill

    def _start(self) -> subprocess.Popen[bytes]:
        request_reader, request_writer = os.pipe()
        reply_reader, reply_writer = os.pipe()
        server = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "bench.execute.forkserver", str(request_reader), str(reply_writer), *self._preload],
            pass_fds=(request_reader, reply_writer),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the sweep only, which then ends the server
        )
        os.close(request_reader)
        os.close(reply_writer)
        self._requests: BinaryIO = os.fdopen(request_writer, "wb")
        self._replies: BinaryIO = os.fdopen(reply_reader, "rb")
        return server

    def check(self, cell: Cell) -> dict[str, Any]:
        """Loads the data of ``cell`` and looks for its device, and measures nothing; a cell's limits don't apply."""
        return self._ask("check", cell, _CHECK_SECONDS, None)

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Runs the passes of ``cell``; the answer always has ``status`` and ``message``.

        The first process runs every pass. The others, where ``cell.processes`` asks for more, time the step again; what
        each has sampled goes with the request to the next, and the last does the statistics of all. The answer of the
        first process that fails is the cell's.
        """
        samples: list[Any] = []
        measured: dict[str, Any] = {}
        work_seconds = 0.0
        for number in range(1, cell.processes + 1):
            answer = self._ask("measure", cell, self._timeout_seconds, self._limit_for(cell), samples)
            if "work_seconds" in answer:  # a cell that was killed does not say
                work_seconds += answer["work_seconds"]
                answer["work_seconds"] = work_seconds
            if answer["status"] != "ok":
                if cell.processes > 1:
                    answer["message"] = f"process {number} of {cell.processes}: {answer['message']}"
                return answer
            if number < cell.processes:
                samples.append(answer.pop("latency_sample"))
            measured = answer | measured | {"work_seconds": work_seconds}
        return measured

    def _ask(
        self,
        task: str,
        cell: Cell,
        timeout_seconds: float,
        memory_limit_bytes: int | None,
        latency_samples: Sequence[Any] = (),
    ) -> dict[str, Any]:
        request = {
            "task": task,
            "cell": cell.model_dump(mode="json"),
            "latency_samples": list(latency_samples),
            "data_root": self._data_root,
            "download": self._download,
            "timeout_seconds": timeout_seconds,
            "memory_limit_bytes": memory_limit_bytes,
            "cpus": choose_cpus(this_system(), cell.threads and cell.threads * cell.ranks) if self._pin else None,
        }
        if self._server is None:
            adopt_orphans()
            self._server = self._start()
        self._known_children = children()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            reply = self._replies.readline()
        except BrokenPipeError:
            reply = b""
        if reply.endswith(b"\n"):
            return dict(json.loads(reply))
        code = self._server.wait()
        kill_children(self._known_children)
        self._close_pipes()
        self._server = None
        return {"status": "crashed", "message": f"the fork server ended with code {code} while the cell ran"}

    def _limit_for(self, cell: Cell) -> int | None:
        if cell.device != "cpu":  # CUDA maps far more memory than it uses
            return None
        return self._memory_limit_bytes or _free_memory_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the server, and the cell that it may be running."""
        if self._server is None:
            return
        self._close_pipes()
        try:
            code = self._server.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            code = self._server.wait()
        if code != 0:  # it did not get to clean up
            kill_children(self._known_children)

    def _close_pipes(self) -> None:
        for pipe in (self._requests, self._replies):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # an unsent request to a dead server


def _free_memory_bytes() -> int | None:
    """Nine tenths of the memory that is free for a cell now, by the machine and its cgroup; None where unknown."""
    available = this_system().available_memory_bytes()
    return None if available is None else round(available * (1 - _SPARE_SHARE))
