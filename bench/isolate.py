"""One cell, one process: the sweep's end of the fork server."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from bench.cell import Cell

_GOODBYE_SECONDS = 2
_CHECK_SECONDS = 24 * 3600.0  # long enough for a download
_SPARE_SHARE = 0.1


class Isolation:
    """Runs each request in a process of its own, forked from a server that has torch loaded.

    The server starts with the first request, which waits until torch is loaded.

    Args:
        data_root: where data sets lie, or None.
        download: let data sets be downloaded.
        timeout_seconds: after this, a cell is killed with all that it started.
        memory_limit_bytes: what a cell on the CPU may allocate; None: nine tenths of what is free when it starts.
        preload: modules that the server loads before the first cell, beyond what every cell needs.
    """

    def __init__(
        self,
        data_root: Path | None,
        download: bool,
        timeout_seconds: float,
        memory_limit_bytes: int | None,
        preload: Sequence[str] = (),
    ) -> None:
        self._data_root = str(data_root) if data_root else None
        self._download = download
        self._timeout_seconds = timeout_seconds
        self._memory_limit_bytes = memory_limit_bytes
        self._preload = preload
        self._server: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        request_reader, request_writer = os.pipe()
        reply_reader, reply_writer = os.pipe()
        server = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "bench.forkserver", str(request_reader), str(reply_writer), *self._preload],
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
        }
        if self._server is None:
            self._server = self._start()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            reply = self._replies.readline()
        except BrokenPipeError:
            reply = b""
        if reply.endswith(b"\n"):
            return dict(json.loads(reply))
        code = self._server.wait()
        self._close_pipes()
        self._server = None  # the next request starts another
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
            self._server.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._requests, self._replies):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # an unsent request to a dead server


def _free_memory_bytes() -> int | None:
    """Nine tenths of the memory that is free for a cell now, by the machine and its cgroup; None where unknown."""
    free = [_available_on_machine(), _available_in_cgroup()]
    known = [value for value in free if value is not None]
    return round(min(known) * (1 - _SPARE_SHARE)) if known else None


def _available_on_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return None


def _available_in_cgroup() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # no cgroup v2, or the root of one
    return None if limit == "max" else max(0, int(limit) - used)
