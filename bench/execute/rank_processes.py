"""The ranks of a cell: a process each, forked by the cell's process, which watches over them and answers for them."""

import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.execute.deaths import describe_death, kernel_kills, limit_memory
from bench.execute.descendants import die_with_parent
from bench.execute.rank_context import Seat

# A rank that fails takes the others' connections with it. How long they get to say so, and the first one to die.
_LAST_WORDS_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
Answer = dict[str, Any]


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
