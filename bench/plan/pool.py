"""Processes that have torch loaded; the one that plans loads none."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from bench.config.cell import Cell
from bench.errors import BenchError

Answer = TypeVar("Answer")

# Loaded once and not in each process: what a first prediction would load, torch._dynamo with every optimizer's step.
_PRELOADED = ["bench.measure.memory.predict", "torch._dynamo", "torch.utils.checkpoint"]


def ask_all(task: Callable[[Cell], Answer], cells: Sequence[Cell], jobs: int | None = None) -> Iterator[Answer]:
    """Yields ``task(cell)`` for each of ``cells``, in order.

    Args:
        task: what to ask; travels to other processes by its name.
        cells: may be none.
        jobs: processes; by default one a core that this process may use.

    Raises:
        BenchError: a process of the pool was killed.
    """
    if not cells:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    pool = ProcessPoolExecutor(min(jobs or usable_cores(), len(cells)), context, _prepare)
    try:
        yield from pool.map(task, cells)
    except BrokenProcessPool:
        raise BenchError("a process of the plan was killed; with fewer --jobs it needs less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _prepare() -> None:
    """Makes a fresh process of the pool ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the plan, which then ends the pool
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # a cell's error is its row's, not a traceback
    import bench.measure.memory.predict  # noqa: F401 (loads torch)

    gc.collect()
    gc.freeze()  # a prediction collects garbage, and need not look at all of torch for it
