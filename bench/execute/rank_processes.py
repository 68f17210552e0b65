"""The processes of a cell's ranks, forked from the cell's process, which waits for them and answers for all."""

import datetime
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.execute.deaths import describe_death, limit_memory
from bench.execute.messages import Answer, Limits
from bench.execute.rank_answers import choose_answer
from bench.execute.rank_context import RankContext, patience_of
from bench.machine.descendants import die_with_parent
from bench.machine.os_error import describe_os_error
from bench.machine.system import this_system

# The failure of one rank breaks the connections of the others. This is how long they may still answer, and how long the
# process of the rank that failed has to end.
_GRACE_SECONDS = 1.0


@dataclass
class _RankProcess:
    """A rank as its parent sees it.

    Attributes:
        rank: from 0.
        pid: of its process.
        pipe: where its answer arrives.
        received: the bytes of its answer so far.
        answer: what it answered, or how it ended; None until then.
        has_ended: whether it ended without an answer and was waited for.
    """

    rank: int
    pid: int
    pipe: int
    received: bytes = b""
    answer: Answer | None = None
    has_ended: bool = False


@dataclass(frozen=True)
class _OnThisHost:
    """The ranks meet on this host.

    Attributes:
        listener: a listening socket on localhost, in which rank 0 runs the store.
    """

    listener: socket.socket

    def open_store(self, rank: int, ranks: int, timeout: datetime.timedelta) -> Any:
        """See :class:`bench.execute.rank_context.Rendezvous`."""
        from torch._C._distributed_c10d import TCPStore

        # All ranks are on this machine, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        port = self.listener.getsockname()[1]
        listener = self.listener.detach() if rank == 0 else None
        return TCPStore("127.0.0.1", port, ranks, is_master=rank == 0, timeout=timeout, master_listen_fd=listener)


def context_on_this_host(
    rank: int, ranks: int, listener: socket.socket, patience_seconds: float, control_seconds: float
) -> RankContext:
    """The context of a rank of a cell all of whose ranks are processes of this host; see :class:`RankContext`.

    Args:
        rank: from 0.
        ranks: the number of ranks.
        listener: at which rank 0 waits for the others; the processes inherit it.
        patience_seconds: how long a rank waits for another before it fails.
        control_seconds: how long a rank waits while rank 0 computes alone.
    """
    return RankContext(
        rank=rank,
        ranks=ranks,
        local_rank=rank,
        local_ranks=ranks,
        device=rank,
        devices=ranks,
        rendezvous=_OnThisHost(listener),
        patience_seconds=patience_seconds,
        control_seconds=control_seconds,
    )


def run_ranks(ranks: int, limits: Limits, answer_for: Callable[[RankContext], Answer]) -> Answer:
    """Runs ``answer_for`` in ``ranks`` forked processes.

    When one rank fails, all are killed about a second later. A rank that does not respond is found when a rank that
    waits for it runs out of patience, after half of the time-out and at most five minutes. Call it before this process
    runs its first torch operator. All processes have ended when it returns.

    Args:
        ranks: the number of processes.
        limits: of the cell; each rank may allocate an even share of the memory.
        answer_for: the work of one rank.

    Returns:
        Rank 0's answer if all ranks succeed; otherwise the answer of the rank whose failure caused those of the others,
        with its number in the message.
    """
    patience = patience_of(limits)
    memory_bytes = None if limits.memory_bytes is None else limits.memory_bytes // ranks
    kills_before = this_system().oom_kills()
    processes: list[_RankProcess] = []
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=ranks) as listener:
            for rank in range(ranks):
                context = context_on_this_host(rank, ranks, listener, patience, limits.timeout_seconds)
                processes.append(_start_rank(context, memory_bytes, answer_for))
        _collect_answers(processes, lambda: this_system().oom_kills() > kills_before)
    except OSError as error:
        message = f"{len(processes)} of {ranks} ranks were started: {describe_os_error(error)}"
        return Answer(status="crashed", message=message)
    finally:
        for process in processes:
            if not process.has_ended:
                os.kill(process.pid, signal.SIGKILL)
                os.waitpid(process.pid, 0)
            os.close(process.pipe)
    return choose_answer([process.answer for process in processes], patience)


def _start_rank(
    context: RankContext, memory_bytes: int | None, answer_for: Callable[[RankContext], Answer]
) -> _RankProcess:
    """Forks the process of one rank.

    Raises:
        OSError: there is no process or no pipe left.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run_rank(context, writer, memory_bytes, answer_for)
    os.close(writer)
    return _RankProcess(context.rank, pid, reader)


def _run_rank(
    context: RankContext, pipe: int, memory_bytes: int | None, answer_for: Callable[[RankContext], Answer]
) -> None:
    """Answers for one rank, in its process. Does not return."""
    parent = os.getpgrp()  # the cell's process leads the process group
    try:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the line above
        limit_memory(memory_bytes)
        answer_for(context).send(pipe)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _collect_answers(processes: Sequence[_RankProcess], killed_by_kernel: Callable[[], bool]) -> None:
    """Waits for the answers of all ranks; after the first failure, for a short while only."""
    deadline: float | None = None
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process.pipe, selectors.EVENT_READ, process)
        while selector.get_map():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return
            for key, _ in selector.select(remaining):
                process = key.data
                chunk = os.read(process.pipe, 1 << 16)
                process.received += chunk
                if process.received.endswith(b"\n"):
                    process.answer = Answer.parse(process.received)
                elif not chunk:
                    _, wait_status = os.waitpid(process.pid, 0)
                    process.has_ended = True
                    process.answer = describe_death(wait_status, killed_by_kernel())
                if process.answer is not None:
                    selector.unregister(process.pipe)
                    if process.answer.status != "ok" and deadline is None:
                        deadline = time.monotonic() + _GRACE_SECONDS
