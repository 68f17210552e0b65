"""Runs a function on several ranks, each in its own process, and returns the result or the error of each."""

import os
import pickle
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

_TIMEOUT_SECONDS = 60
_STARTER = mp.get_context("forkserver")


def run_ranks(
    ranks: int,
    job: Callable[..., Any],
    folder: Path,
    *arguments: Any,
    timeout_seconds: float = _TIMEOUT_SECONDS,
    patience_seconds: float = 2 * _TIMEOUT_SECONDS,
) -> list[Any]:
    """Returns the results of ``job(rank, *arguments)`` on each rank, in order.

    The result of a rank is the traceback if the job raised an exception, and None if the process ended without a
    result or had none after ``patience_seconds``. ``timeout_seconds`` is that of the process group. The processes are
    forked from one that has torch loaded.
    """
    _STARTER.set_forkserver_preload(["torch", "sid_core", "torch._dynamo"])
    rendezvous = folder / f"rendezvous-{os.urandom(4).hex()}"
    pipes, processes = [], []
    for rank in range(ranks):
        reader, writer = _STARTER.Pipe(duplex=False)
        process = _STARTER.Process(
            target=_run, args=(rank, ranks, str(rendezvous), timeout_seconds, writer, job, arguments)
        )
        process.start()
        writer.close()
        pipes.append(reader)
        processes.append(process)
    deadline = time.monotonic() + patience_seconds
    words = {}
    while len(words) < ranks and (ready := wait([p for p in pipes if p not in words], deadline - time.monotonic())):
        words.update({pipe: _receive(pipe) for pipe in ready})
    for process in processes:
        process.kill()
        process.join()
    return [words.get(pipe) for pipe in pipes]


def _receive(pipe: Any) -> Any:
    try:
        return pickle.loads(pipe.recv_bytes())
    except EOFError:
        return None


def _run(
    rank: int,
    ranks: int,
    rendezvous: str,
    timeout_seconds: float,
    writer: Any,
    job: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{rendezvous}",
            rank=rank,
            world_size=ranks,
            timeout=timedelta(seconds=timeout_seconds),
        )
        result = job(rank, *arguments)
    except Exception:
        result = traceback.format_exc()
    writer.send_bytes(pickle.dumps(result))  # by value; torch would share memory with a process that ends
    writer.close()
    os._exit(0)  # a rank whose job failed must not wait for the others
