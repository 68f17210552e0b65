"""Worker processes for predictions. They import torch; the process of the command does not."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import forkserver
from typing import TypeVar

from bench.config.cell import Cell
from bench.errors import BenchError
from bench.machine.os_error import describe_os_error
from bench.machine.search_path import child_environment

Answer = TypeVar("Answer")

_PATH, _SAFE_PATH = "PYTHONPATH", "PYTHONSAFEPATH"


def ask_all(task: Callable[[Cell], Answer], cells: Sequence[Cell], jobs: int | None = None) -> Iterator[Answer]:
    """Yield ``task(cell)`` for each of ``cells``, in order.

    Args:
        task: a function that can be pickled by name.
        cells: the cells; may be empty.
        jobs: number of processes; by default one per core that this process may use.

    Raises:
        BenchError: a process of the pool cannot be started, cannot load torch, or was killed.
    """
    if not cells:
        return
    try:
        _start_fork_server()
        context = multiprocessing.get_context("forkserver")
        keeps_safe_path = _SAFE_PATH in os.environ
        pool = ProcessPoolExecutor(
            min(jobs or usable_cores(), len(cells)), context, _prepare, initargs=(keeps_safe_path,)
        )
        try:
            yield from pool.map(partial(_answer, task), cells)
        finally:
            pool.shutdown(cancel_futures=True)
    except BrokenProcessPool:
        raise BenchError("a process of the plan was killed; fewer --jobs need less memory") from None
    except (OSError, EOFError) as error:  # EOFError: the fork server has ended
        raise BenchError(f"no process of the plan can be started: {describe_os_error(error)}") from error


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _start_fork_server() -> None:
    """Starts the server that the pool's processes are forked from, without the current folder on its search path.

    It loads torch, once instead of in each process.
    """
    multiprocessing.set_forkserver_preload(["bench.plan.preload"])
    # multiprocessing takes neither options nor variables for the server, so this process has them for a moment.
    variables = {_PATH: child_environment()[_PATH], _SAFE_PATH: "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _prepare(keeps_safe_path: bool) -> None:
    """Initialise a new process of the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the plan, which then ends the pool
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # the row of a cell reports its error
    if not keeps_safe_path:
        os.environ.pop(_SAFE_PATH, None)  # it is not for what a plug-in may start
    import bench.plan.preload  # noqa: F401 (loads torch)


def _answer(task: Callable[[Cell], Answer], cell: Cell) -> Answer:
    """Return ``task(cell)``, in a process of the pool.

    Raises:
        BenchError: torch cannot be loaded.
    """
    from bench.plan import preload

    if preload.error is not None:
        raise BenchError(f"no process of the plan can load torch: {preload.error}")
    return task(cell)
