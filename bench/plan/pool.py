"""Worker processes for predictions. They import torch; the process of the command does not."""

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

# Modules that a first prediction would import (torch._dynamo comes with every optimizer step). The fork server imports
# them once, instead of once per process.
_PRELOADED = ["bench.measure.memory.predict", "torch._dynamo", "torch.utils.checkpoint"]


def ask_all(task: Callable[[Cell], Answer], cells: Sequence[Cell], jobs: int | None = None) -> Iterator[Answer]:
    """Yield ``task(cell)`` for each of ``cells``, in order.

    Args:
        task: a function that can be pickled by name.
        cells: the cells; may be empty.
        jobs: number of processes; by default one per core that this process may use.

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
        raise BenchError("a process of the plan was killed; fewer --jobs need less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _prepare() -> None:
    """Initialise a new process of the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the plan, which then ends the pool
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # the row of a cell reports its error
    import bench.measure.memory.predict  # noqa: F401 (loads torch)

    gc.collect()
    gc.freeze()  # predictions collect garbage; frozen objects, such as torch's, are not visited
