"""Several cells at the same time: which cells may run so, what they need, and the threads that wait for them."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

from bench.config.cell import Cell
from bench.config.label import label
from bench.errors import BenchError
from bench.execute.executor import Executor
from bench.execute.groups import is_timed
from bench.machine.system import System

_Result = TypeVar("_Result")

_MOST_USUAL_JOBS = 8  # each loads torch, and has only a share of the memory


def can_run_beside_others(cell: Cell) -> bool:
    """Whether ``cell`` is not timed, has one rank, and runs on the CPU: its result depends on nothing beside it."""
    return not is_timed(cell) and cell.ranks == 1 and cell.device == "cpu"


def usual_jobs(cells: Sequence[Cell], system: System) -> int:
    """Return how many cells of a sweep run at the same time unless the user says otherwise.

    It is one for each set of CPUs that a cell's threads need, and at most 8. It is 1 where a cell does not say how many
    threads it has (:func:`check_jobs`).

    Args:
        cells: of the sweep.
        system: the machine.
    """
    threads = [cell.threads for cell in cells if can_run_beside_others(cell)]
    known = [number for number in threads if number is not None]
    if not known or len(known) < len(threads):
        return 1
    return max(1, min(_MOST_USUAL_JOBS, (system.core_count or 1) // max(known)))


def check_jobs(cells: Sequence[Cell], jobs: int, pin: bool, system: System) -> str | None:
    """Checks that ``jobs`` cells of a sweep can run at the same time.

    Sums depend on the number of threads that compute them, so a cell must say how many it has.

    Args:
        cells: of the sweep.
        jobs: how many cells run at the same time, of those that can.
        pin: whether each cell is bound to CPUs of its own.
        system: the machine.

    Returns:
        What a person should know, or None.

    Raises:
        BenchError: a cell does not say how many threads it has, or there are fewer CPUs than threads to bind.
    """
    if jobs == 1:
        return None
    beside = [cell for cell in cells if can_run_beside_others(cell)]
    if not beside:
        return f"--jobs {jobs} changes nothing: every cell is timed, on several ranks or on a GPU"
    usable = system.core_count or 1
    most = max(1, usable // jobs)
    for cell in beside:
        if cell.threads is None:
            raise BenchError(
                f"--jobs {jobs} needs cells whose threads are set, because sums depend on their number, and threads is "
                f"not set in {label(cell)}; give --threads N (without a slowdown: 1 to {most}), or leave --jobs out"
            )
    threads = max(cell.threads or 1 for cell in beside)
    if jobs * threads <= usable:
        return None
    found = f"--jobs {jobs} with threads = {threads} needs {jobs * threads} CPUs, and {usable} may be used"
    if pin:
        raise BenchError(f"{found}; with --pin, legal: --jobs 1 to {max(1, usable // threads)}")
    return f"{found}: the cells slow each other down"


def work_in_parallel(
    cells: Iterator[Cell], work: Callable[[Executor, Cell], _Result], executors: Sequence[Executor]
) -> Generator[_Result, None, None]:
    """Works on cells in threads, one for each executor, and yields the results as they come.

    The executors are entered here, and left when the last cell has ended, a cell has raised an error, or this generator
    is closed. That ends the cells that still run.

    Args:
        cells: is asked for the next cell, by the caller's thread, whenever an executor is free.
        work: is called in a thread for each cell.
        executors: one for each cell that runs at a time.

    Raises:
        BenchError: no cell can run. The results of those that had ended were yielded before.
    """
    idle = list(executors)
    running: dict[Future[_Result], Executor] = {}
    with ThreadPoolExecutor(len(executors), "job") as threads, ExitStack() as entered:
        for executor in executors:
            entered.enter_context(executor)
        while True:
            while idle and (cell := next(cells, None)) is not None:
                executor = idle.pop(0)
                running[threads.submit(work, executor, cell)] = executor
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=lambda future: future.exception() is not None):
                idle.append(running.pop(future))
                yield future.result()
