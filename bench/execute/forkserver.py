"""The fork server: a process with torch loaded that forks one child a request.

Run as ``python -m bench.execute.forkserver REQUEST_FD REPLY_FD [MODULE...]``; the modules are loaded beforehand. A
request is a line of JSON (see :func:`bench.execute.worker.handle`, plus ``timeout_seconds`` and
``memory_limit_bytes``; the child is bound to its ``cpus`` where it has any); the reply is the child's answer, or says
how the child ended. The server never runs a torch operator and never touches CUDA, so every child starts from a clean
state. It is the one that waits, kills on time-out, and cleans up when the sweep's process is gone, however that one
ended.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, BinaryIO, Literal

from bench.execute.deaths import describe_death, kernel_kills, limit_memory
from bench.execute.descendants import adopt_orphans, die_with_parent, kill_children

_LOG_TAIL_BYTES = 2000
_LONGEST_SELECT_SECONDS = 3600
# Loaded before the first fork, so that no cell pays for it: every optimizer loads torch._dynamo, for a second.
_PRELOADED = ("bench.execute.worker", "torch._dynamo", "torch.optim.adam", "torch.optim.sgd", "torch.utils.checkpoint")


def serve(requests: BinaryIO, replies: BinaryIO, preload: Sequence[str]) -> None:
    """Answers requests until the sweep closes its end."""
    for module in (*_PRELOADED, *preload):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the children
    wake_up, wake_up_writer = os.pipe()
    os.set_blocking(wake_up_writer, False)
    signal.set_wakeup_fd(wake_up_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    adopt_orphans()  # what a cell leaves behind becomes a child of ours, which we can find
    for line in requests:
        reply = _run_child(json.loads(line), requests, replies, wake_up)
        if reply is None:
            return
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _run_child(request: dict[str, Any], requests: BinaryIO, replies: BinaryIO, wake_up: int) -> dict[str, Any] | None:
    """Forks a child for ``request`` and waits for its end; None if the sweep went away meanwhile."""
    deadline = time.monotonic() + request["timeout_seconds"]
    kills_before = kernel_kills()
    answer_reader, answer_writer = os.pipe()
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if child == 0:
            os.close(answer_reader)
            requests.close()
            replies.close()
            _be_child(request, answer_writer, log.fileno())
        os.close(answer_writer)
        try:
            answer, ended, status = _collect(child, answer_reader, requests.fileno(), wake_up, deadline)
        finally:
            _kill_group(child)
            os.close(answer_reader)
        if status is None:
            _, status = os.waitpid(child, 0)
        kill_children()  # what the cell has left behind in sessions of its own
        if ended == "orphaned":
            return None
        if ended == "timeout":
            return {"status": "timeout", "message": f"no result within {request['timeout_seconds']:g} s"}
        if answer.endswith(b"\n"):
            return dict(json.loads(answer))
        return describe_death(status, kernel_kills() > kills_before, _tail(log))


def _collect(
    child: int, answer: int, requests: int, wake_up: int, deadline: float
) -> tuple[bytes, Literal["answered", "timeout", "orphaned"], int | None]:
    """Reads the child's answer until it ends with a line feed, the child dies, time is up or the sweep is gone.

    Returns what was read, why reading stopped, and the child's exit status if it was asked for.
    """
    received = b""
    with selectors.DefaultSelector() as selector:
        for source in (answer, requests, wake_up):
            selector.register(source, selectors.EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return received, "timeout", None
            ready = {key.fd for key, _ in selector.select(min(remaining, _LONGEST_SELECT_SECONDS))}
            if answer in ready:
                chunk = os.read(answer, 1 << 16)
                received += chunk
                if not chunk or received.endswith(b"\n"):
                    return received, "answered", None
            elif requests in ready:  # the sweep sends nothing while it waits: this is the end of the file
                return received, "orphaned", None
            elif wake_up in ready:
                os.read(wake_up, 1 << 12)
                ended, status = os.waitpid(child, os.WNOHANG)  # the signal may be an earlier child's
                if ended:
                    return _drain(answer, received), "answered", status


def _drain(answer: int, received: bytes) -> bytes:
    """What a dead child left in the pipe, without waiting for grandchildren that hold its other end."""
    os.set_blocking(answer, False)
    try:
        while chunk := os.read(answer, 1 << 16):
            received += chunk
    except BlockingIOError:
        pass
    return received


def _be_child(request: dict[str, Any], answer: int, log: int) -> None:
    """The child: a process group of its own, its output in ``log``, its answer in a pipe. Does not return."""
    code = 1
    server = os.getppid()
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent()
        if os.getppid() != server:
            os._exit(code)  # the server died before the line above
        os.dup2(log, 1)
        os.dup2(log, 2)
        limit_memory(request["memory_limit_bytes"])
        if request["cpus"] is not None:
            os.sched_setaffinity(0, request["cpus"])  # before torch starts its threads, which inherit it
        from bench.execute.worker import handle

        payload = json.dumps(handle(request), allow_nan=False).encode() + b"\n"
        while payload:
            payload = payload[os.write(answer, payload) :]
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)  # skips the exit handlers that belong to the server


def _kill_group(child: int) -> None:
    """Kills the child and whatever it started; a child that has just been forked may not lead its group yet."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _tail(log: Any) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_TAIL_BYTES))
    return str(log.read().decode(errors="replace").strip())


if __name__ == "__main__":
    with open(int(sys.argv[1]), "rb") as incoming, open(int(sys.argv[2]), "wb") as outgoing:  # noqa: PTH123
        serve(incoming, outgoing, sys.argv[3:])
    os._exit(0)  # the exit handlers of what torch has loaded would take their time and write to the terminal
