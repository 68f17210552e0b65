"""The ranks of a cell: a process each, forked by the cell's process, which watches over them and answers for them."""

import datetime
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.deaths import describe_death, kernel_kills, limit_memory
from bench.descendants import die_with_parent

# A rank that fails takes the others' connections with it. How long they get to say so, and the first one to die.
_LAST_WORDS_SECONDS = 1.0
_RENDEZVOUS_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 300.0
# What torch.distributed says when another rank is gone, or silent for too long.
_LOST = ("connection closed", "connection reset", "broken pipe", "timed out", "timeout", "gloo", "nccl", "rank")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Seat:
    """Where a process sits among the ranks of its cell.

    Attributes:
        rank: from 0.
        ranks: how many there are.
        listener: a listening socket on localhost, rank 0's for the rendezvous.
        patience_seconds: how long a rank waits for another before it gives up.
        control_seconds: how long a rank waits while rank 0 computes alone.
    """

    rank: int
    ranks: int
    listener: socket.socket
    patience_seconds: float
    control_seconds: float

    def threads(self) -> int:
        """An even share of the CPUs that this process may use, as a number of threads."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus // self.ranks)

    def bind_to_share(self, cpus: Sequence[int] | None) -> Sequence[int] | None:
        """Binds this process to its share of ``cpus``, or leaves it where there are none, or fewer than ranks."""
        share = len(cpus) // self.ranks if cpus is not None else 0
        if cpus is None or share == 0:
            return cpus
        own = cpus[self.rank * share : (self.rank + 1) * share]
        os.sched_setaffinity(0, own)
        return own

    def join(self, device: str) -> Any:
        """Meets the other ranks: afterwards ``torch.distributed`` is initialised.

        Args:
            device: ``cpu`` (gloo), or ``cuda`` (NCCL), where each rank has chosen its GPU.

        Returns:
            A second process group, over gloo, for waiting as long as rank 0 computes alone: in it a rank sleeps.
        """
        import torch.distributed as dist
        from torch._C._distributed_c10d import TCPStore

        # All ranks are on this machine, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        port = self.listener.getsockname()[1]
        store = TCPStore(
            "127.0.0.1",
            port,
            self.ranks,
            is_master=self.rank == 0,
            timeout=datetime.timedelta(seconds=min(_RENDEZVOUS_SECONDS, self.patience_seconds)),
            master_listen_fd=self.listener.detach() if self.rank == 0 else None,
        )
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            store=store,
            rank=self.rank,
            world_size=self.ranks,
            timeout=datetime.timedelta(seconds=self.patience_seconds),
        )
        return dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=self.control_seconds))


@dataclass
class _Rank:
    """A rank as the watching process sees it: its pipe, and how it ended, None while it has not."""

    rank: int
    process: int
    pipe: int
    received: bytes = b""
    answer: Answer | None = None
    died: bool = field(default=False)


def run_ranks(ranks: int, request: Mapping[str, Any], answer_for: Callable[[Seat], Answer]) -> Answer:
    """Runs ``answer_for`` in ``ranks`` forked processes and gives rank 0's answer, or says which rank failed and how.

    The failure of one ends all, within about a second of it; a rank that hangs is found out when the patience of those
    that wait for it ends. Call it before any torch operator has run in this process. No rank is left when it returns.

    Args:
        ranks: how many processes.
        request: ``timeout_seconds`` and ``memory_limit_bytes`` (or None), which the ranks share, of the cell.
        answer_for: what a rank does; the answer has ``status`` and ``message`` and can be JSON. An answer that is not
            ``ok`` may say ``lost``: that another rank is what failed.
    """
    patience = min(_LONGEST_WAIT_SECONDS, request["timeout_seconds"] / 2)
    limit = request["memory_limit_bytes"]
    kills_before = kernel_kills()
    with socket.create_server(("127.0.0.1", 0), backlog=ranks) as listener:
        crew = []
        for rank in range(ranks):
            reader, writer = os.pipe()
            process = os.fork()
            if process == 0:
                seat = Seat(rank, ranks, listener, patience, request["timeout_seconds"])
                _be_rank(seat, writer, limit and limit // ranks, answer_for)
            os.close(writer)
            crew.append(_Rank(rank, process, reader))
    try:
        _collect(crew, lambda: kernel_kills() > kills_before)
    finally:
        for member in crew:
            if not member.died:
                os.kill(member.process, signal.SIGKILL)
                os.waitpid(member.process, 0)
            os.close(member.pipe)
    failed = [member for member in crew if member.answer is None or member.answer["status"] != "ok"]
    if not failed:
        return crew[0].answer or {}
    return _verdict(crew, patience)


def _be_rank(seat: Seat, pipe: int, memory_limit: int | None, answer_for: Callable[[Seat], Answer]) -> None:
    """The process of a rank. Does not return."""
    watcher = os.getpgrp()
    try:
        die_with_parent()
        if os.getppid() != watcher:  # it leads our process group, and died before the line above
            os._exit(1)
        limit_memory(memory_limit)
        payload = json.dumps(answer_for(seat), allow_nan=False).encode() + b"\n"
        while payload:
            payload = payload[os.write(pipe, payload) :]
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _collect(crew: list[_Rank], killed_by_kernel: Callable[[], bool]) -> None:
    """Waits for all answers, or from the first failure on for last words."""
    deadline: float | None = None
    with selectors.DefaultSelector() as selector:
        for member in crew:
            selector.register(member.pipe, selectors.EVENT_READ, member)
        while selector.get_map():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return
            for key, _ in selector.select(remaining):
                member = key.data
                chunk = os.read(member.pipe, 1 << 16)
                member.received += chunk
                if member.received.endswith(b"\n"):
                    member.answer = json.loads(member.received)
                elif not chunk:
                    _, status = os.waitpid(member.process, 0)
                    member.died = True
                    member.answer = describe_death(status, killed_by_kernel())
                if member.answer is not None:
                    selector.unregister(member.pipe)
                    if member.answer["status"] != "ok" and deadline is None:
                        deadline = time.monotonic() + _LAST_WORDS_SECONDS


def _verdict(crew: list[_Rank], patience_seconds: float) -> Answer:
    """What the cell answers when not all ranks are well: the failure that is not just another's consequence."""
    answered = [(member, member.answer) for member in crew if member.answer is not None]
    failures = [(member, answer) for member, answer in answered if answer["status"] != "ok"]
    for member, answer in sorted(failures, key=lambda failure: not failure[0].died):
        if not answer.get("lost", False):
            return _named(member, crew, answer)
    silent = [member for member in crew if member.answer is None]
    if silent:
        message = f"it hung; another rank waited {patience_seconds:g} s for it"
        return _named(silent[0], crew, {"status": "crashed", "message": message})
    member, answer = failures[0]
    return _named(member, crew, answer)


def _named(member: _Rank, crew: list[_Rank], answer: Answer) -> Answer:
    """``answer`` with the rank in its message; what the user can mend concerns all of them."""
    if answer.get("final", False):
        return answer
    answer = {name: value for name, value in answer.items() if name != "lost"}
    return answer | {"message": f"rank {member.rank} of {len(crew)}: {answer['message']}"}


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` tells of another rank that is gone or silent, rather than of this one."""
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _LOST)
