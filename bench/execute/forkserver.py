"""The fork server: a process that has loaded torch and forks one child per request.

:func:`main` imports the modules that the command line names, and replies with the line :data:`READY`. It then reads one
:class:`~bench.execute.messages.Request` per line and replies with one :class:`~bench.execute.messages.Answer` per line:
the child's own, or a description of how the child ended. A server that fails itself, for example because no process can
be forked, prints the reason as its last line and ends with the code :data:`FAILED`.

The server runs no torch operator and does not initialise CUDA, so each child starts from a clean state. The server also
enforces the time-out, kills what a cell has left running, and ends when the sweep's process has ended, for whatever
reason.
"""

import gc
import importlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO, Literal

from bench.execute.deaths import describe_death, limit_memory
from bench.execute.messages import Answer, Request
from bench.execute.tail import Tail, drain
from bench.machine.descendants import adopt_orphans, die_with_parent, kill_children
from bench.machine.os_error import describe_os_error
from bench.machine.system import this_system

READY = b"ready\n"
FAILED = 3
_LONGEST_SELECT_SECONDS = 3600
_CHUNK_BYTES = 1 << 16
# Imported before the first fork, so that no cell pays for it: every optimizer imports torch._dynamo, for a second.
_PRELOADED = (
    "bench.execute.worker",
    "bench.train.datasets.load",
    "torch._dynamo",
    "torch.optim.adam",
    "torch.optim.sgd",
    "torch.utils.checkpoint",
)


def serve(requests: BinaryIO, replies: BinaryIO, preload: Sequence[str]) -> None:
    """Answers requests until the sweep's process closes its end of the pipe.

    Args:
        requests: the pipe with requests.
        replies: the pipe for answers.
        preload: modules to import before the first request, in addition to those that every cell needs.
    """
    for module in (*_PRELOADED, *preload):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # keeps the pages of what is loaded shared with the children
    wake_up, wake_up_writer = os.pipe()
    os.set_blocking(wake_up_writer, False)
    signal.set_wakeup_fd(wake_up_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    adopt_orphans()  # so that processes which a cell leaves running become children of this process
    replies.write(READY)
    replies.flush()
    for line in requests:
        reply = _run_child(Request.parse(line), requests, replies, wake_up)
        if reply is None:
            return
        replies.write(reply)
        replies.flush()


def _run_child(request: Request, requests: BinaryIO, replies: BinaryIO, wake_up: int) -> bytes | None:
    """Forks a child for ``request`` and waits for its end.

    Returns:
        The line of the answer, or None if the sweep's process has ended meanwhile.
    """
    timeout_seconds = request.limits.timeout_seconds
    deadline = time.monotonic() + timeout_seconds
    kills_before = this_system().oom_kills()
    answer_reader, answer_writer = os.pipe()
    log_reader, log_writer = os.pipe()
    os.set_blocking(log_reader, False)
    child = os.fork()
    if child == 0:
        _handle_in_child(request, (requests, replies), answer_writer, log_writer)
    os.close(answer_writer)
    os.close(log_writer)
    log = Tail()
    try:
        received, outcome, wait_status = _wait_for_answer(
            *(child, answer_reader, log_reader, log, requests.fileno(), wake_up, deadline)
        )
    finally:
        _kill_group(child)
        os.close(answer_reader)
    if wait_status is None:
        _, wait_status = os.waitpid(child, 0)
    kill_children()  # processes that the cell has started in sessions of their own
    log.add(drain(log_reader))
    os.close(log_reader)
    if outcome == "sweep ended":
        return None
    if outcome == "timeout":
        return Answer(status="timeout", message=f"no result within {timeout_seconds:g} s").line()
    if received.endswith(b"\n"):
        return received  # not parsed here: a trace or a timeline can be long
    return describe_death(wait_status, this_system().oom_kills() > kills_before, log.text()).line()


def _wait_for_answer(
    child: int, answer: int, log_pipe: int, log: Tail, requests: int, wake_up: int, deadline: float
) -> tuple[bytes, Literal["finished", "timeout", "sweep ended"], int | None]:
    """Reads the child's answer until it is complete, the child or the sweep's process ends, or the time is up.

    Args:
        child: the process id.
        answer: the pipe with its answer, which ends with a line feed.
        log_pipe: the pipe with its standard output and standard error, which does not block.
        log: gets what comes through it.
        requests: the pipe with requests. The sweep sends none while it waits, so it is readable only at its end.
        wake_up: a pipe that becomes readable when a child ends.
        deadline: by ``time.monotonic``.

    Returns:
        The bytes read, why reading stopped, and the child's wait status if it was waited for.
    """
    received = b""
    with selectors.DefaultSelector() as selector:
        for source in (answer, log_pipe, requests, wake_up):
            selector.register(source, selectors.EVENT_READ)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return received, "timeout", None
            ready = {key.fd for key, _ in selector.select(min(remaining, _LONGEST_SELECT_SECONDS))}
            if log_pipe in ready:
                printed = os.read(log_pipe, _CHUNK_BYTES)
                log.add(printed)
                if not printed:  # the cell has closed its output
                    selector.unregister(log_pipe)
            if answer in ready:
                chunk = os.read(answer, _CHUNK_BYTES)
                received += chunk
                if not chunk or received.endswith(b"\n"):
                    return received, "finished", None
            elif requests in ready:
                return received, "sweep ended", None
            elif wake_up in ready:
                os.read(wake_up, 1 << 12)
                ended, wait_status = os.waitpid(child, os.WNOHANG)  # the signal may be that of an earlier child
                if ended:
                    return received + drain(answer), "finished", wait_status


def _handle_in_child(request: Request, pipes_of_server: Sequence[BinaryIO], answer: int, log: int) -> None:
    """Handles ``request`` in a process group of its own. Does not return.

    Args:
        request: the request.
        pipes_of_server: pipes that only the server uses.
        answer: the pipe for the answer.
        log: a pipe for its standard output and standard error.
    """
    code = 1
    server = os.getppid()
    try:
        for pipe in pipes_of_server:
            pipe.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent()
        if os.getppid() != server:
            os._exit(code)  # the server ended before the line above
        os.dup2(log, 1)
        os.dup2(log, 2)
        limit_memory(request.limits.memory_bytes)
        if request.cpus is not None:
            os.sched_setaffinity(0, request.cpus)  # before torch starts its threads, which inherit it
        from bench.execute.worker import handle

        handle(request).send(answer)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)  # skips the exit handlers, which belong to the server


def _kill_group(child: int) -> None:
    """Kills the child and its process group; a child that has just been forked may not lead a group yet."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def main() -> None:
    """Serves through the file descriptors that the command line names. Does not return."""
    code = FAILED
    try:
        with open(int(sys.argv[1]), "rb") as incoming, open(int(sys.argv[2]), "wb") as outgoing:  # noqa: PTH123
            serve(incoming, outgoing, sys.argv[3:])
        code = 0
    except BaseException as error:  # also what a module raises that the command line names
        print(describe_os_error(error), file=sys.stderr, flush=True)
    finally:
        os._exit(code)  # the exit handlers of what torch has loaded take time and write to the terminal
