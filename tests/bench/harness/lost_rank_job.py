"""Provokes PyTorch's errors about another rank, as a process of its own that prints them as JSON.

Each case runs in two forked ranks, of which rank 1 fails while rank 0 waits for it. Nothing is printed by rank 1.
"""

import datetime
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from bench.execute.failures import is_caused_by_another_rank, is_out_of_memory
from bench.execute.rank_context import RankContext
from bench.execute.rank_processes import context_on_this_host

PATIENCE_SECONDS = 1.0
WAITS: dict[str, Callable[[torch.Tensor], Any]] = {
    "all_reduce": dist.all_reduce,
    "recv": lambda tensor: dist.recv(tensor, src=1),
    "send": lambda tensor: dist.send(tensor, dst=1),
    "gather_object": lambda _: dist.gather_object(None, [None, None], dst=0),
    "new_group": lambda _: dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=PATIENCE_SECONDS)),
}
FAILURES: dict[str, Callable[[], None]] = {
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exits": lambda: os._exit(0),
    "hangs": lambda: time.sleep(600),
}
# Mistakes of rank 0 itself, whose errors name gloo as well.
MISTAKES: dict[str, Callable[[torch.Tensor], Any]] = {
    "gather into a list of the wrong length": lambda tensor: dist.gather(tensor, [tensor] * 3, dst=0),
    "reduce tensors that are sparse": lambda tensor: dist.all_reduce(tensor.to_sparse(), op=dist.ReduceOp.MAX),
}


def provoke(action: Callable[[torch.Tensor], Any], failure: Callable[[], None], joins: bool = True) -> dict[str, Any]:
    """Runs ``action`` on rank 0 while ``failure`` happens to rank 1; returns the error of rank 0."""
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pids = [os.fork()]
        if pids[0] == 0:
            run_rank_0(context_on_this_host(0, 2, listener, PATIENCE_SECONDS, PATIENCE_SECONDS), action, writer)
        pids.append(os.fork())
        if pids[1] == 0:
            if joins:
                context_on_this_host(1, 2, listener, 60, 60).join("cpu")
                dist.all_reduce(torch.ones(1))  # so that the ranks are connected
            failure()
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:  # noqa: PTH123
        error = json.loads(answer.readline())  # not to the end: rank 1 holds the pipe, too
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return dict(error)


def run_rank_0(context: RankContext, action: Callable[[torch.Tensor], Any], pipe: int) -> None:
    """Writes the error of ``action`` to ``pipe``. Does not return."""
    answer: dict[str, Any] = {"error": None}
    try:
        context.join("cpu")
        dist.all_reduce(torch.ones(1))
        for _ in range(3):
            action(torch.ones(1 << 20))
    except BaseException as error:
        answer = {
            "error": f"{type(error).__name__}: {error}",
            "is_caused_by_another_rank": is_caused_by_another_rank(error),
            "is_out_of_memory": is_out_of_memory(error),
        }
    os.write(pipe, json.dumps(answer).encode() + b"\n")
    os._exit(0)


def main() -> None:
    errors = {
        f"{wait}, rank 1 {failure}": provoke(WAITS[wait], FAILURES[failure]) for wait in WAITS for failure in FAILURES
    }
    errors["rank 1 does not connect"] = provoke(WAITS["all_reduce"], FAILURES["exits"], joins=False)
    errors |= {mistake: provoke(MISTAKES[mistake], FAILURES["hangs"]) for mistake in MISTAKES}
    json.dump(errors, sys.stdout)


if __name__ == "__main__":
    main()
