"""The interface of whatever runs cells, and the settings that every kind of it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.config.cell import Cell
from bench.execute.executors import LOCAL
from bench.execute.messages import Answer


class Executor(Protocol):
    """Runs cells. A sweep enters it, checks and measures cells in any order, and leaves it.

    :class:`~bench.execute.fork_executor.ForkServerExecutor` runs cells on this machine, one at a time. Another executor
    may run them elsewhere: its answers say where in ``environment``, which goes into the records.
    """

    def check(self, cell: Cell) -> Answer:
        """Checks that the data, the device and the compiler of ``cell`` are there; measures nothing.

        An answer that is ``final`` says what is missing. Any other failure says nothing about the cell.
        """

    def measure(self, cell: Cell) -> Answer:
        """Runs the passes of ``cell`` that are not timed, in one process, and waits for its end.

        A failure of the cell is an answer, never an exception.
        """

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
        """Times the cells of a group (:mod:`bench.execute.groups`) in one process, and waits for its end.

        Args:
            cells: the group, or some of it.
            process: the number of the process, from 0, among those that time these cells.
            loops: steps in a leg, as earlier processes had; None: the process chooses.

        Returns:
            An answer with one member for each of ``cells``. Without members, it says how the process has ended, or
            names in ``apart`` the cells that cannot share one.
        """

    def trace(self, cell: Cell) -> Answer:
        """Traces a step of ``cell``, which is on one rank and not compiled, in a process of its own.

        A failure of the cell is an answer, never an exception.
        """

    def split(self, jobs: int, threads: int) -> Sequence["Executor"]:
        """Makes ``jobs`` executors whose cells run at the same time; each is for one thread, and is entered and left.

        Another thread may leave one of them while it measures, which ends its cell.

        Args:
            jobs: how many.
            threads: the largest number of threads that one of the cells computes with.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends what the executor has started, including a cell that runs."""


@dataclass(frozen=True)
class ExecutorSettings:
    """What a sweep asks of its executor.

    Attributes:
        executor: the name of its kind, of :mod:`bench.execute.executors`.
        data_root: the directory with data sets, or None.
        download: whether missing data sets are downloaded into it.
        timeout_seconds: when the process of a cell is killed, with all processes that it has started.
        memory_limit_bytes: how much a cell on the CPU may allocate; None for nine tenths of the memory that is free
            when it starts. A cell that runs beside others gets at most its share of those nine tenths.
        pin: whether the process of each cell is bound to CPUs of its own, see :func:`bench.machine.pin.choose_cpus`.
        preload: modules to import before the first cell, in addition to those that every cell needs.
    """

    data_root: Path | None = None
    download: bool = False
    timeout_seconds: float = 1800.0
    memory_limit_bytes: int | None = None
    pin: bool = False
    preload: tuple[str, ...] = ()
    executor: str = LOCAL


@dataclass(frozen=True)
class Share:
    """The share of the machine that one of several executors has, whose cells run at the same time.

    Attributes:
        number: of the executor, from 0.
        jobs: how many executors there are.
        threads: the largest number of threads that a cell of any of them computes with.
    """

    number: int
    jobs: int
    threads: int


WHOLE = Share(number=0, jobs=1, threads=0)
