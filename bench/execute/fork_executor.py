"""The executor that runs each cell on this machine, in processes that are forked from a server for each allocator."""

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from bench.config.cell import Cell
from bench.execute.executor import WHOLE, ExecutorSettings, Share
from bench.execute.fork_client import ForkServer
from bench.execute.groups import untimed_passes
from bench.execute.messages import Answer, Limits, Place, Request
from bench.machine.allocators import ALLOCATORS, SYSTEM
from bench.machine.doctor import CellWatch
from bench.machine.environment import machine_environment
from bench.machine.malloc import allocator_environment
from bench.machine.pin import choose_cpus
from bench.machine.system import System, this_system

_CHECK_LIMITS = Limits(timeout_seconds=24 * 3600.0)  # long enough for a download
_SPARE_SHARE = 0.1


class ForkServerExecutor:
    """Runs each process of a cell as a child of a fork server, so that no cell can end the sweep.

    Args:
        settings: see :class:`~bench.execute.executor.ExecutorSettings`.
        server: a server to use for cells with the system's allocator, which stays open; None for one of its own.
        system: the machine; None for the one that this process runs on.
        share: what its cells have of the machine.
        place: the rank that each process is of its cell; None: the process of a cell starts all ranks itself.

    Raises:
        BenchError: ``settings.pin``, where the system cannot bind a process to CPUs.
    """

    def __init__(
        self,
        settings: ExecutorSettings,
        server: ForkServer | None = None,
        system: System | None = None,
        share: Share = WHOLE,
        place: Place | None = None,
    ) -> None:
        self._settings = settings
        self._share = share
        self.place = place
        self._system = system or this_system()
        self._servers = {
            allocator: ForkServer(settings.preload, environment=partial(allocator_environment, allocator))
            for allocator in ALLOCATORS
        }
        if server is not None:
            self._servers[SYSTEM] = server
        self._own_servers = [own for own in self._servers.values() if own is not server]
        if settings.pin:
            choose_cpus(self._system, None)  # refused before anything is measured, not at the first cell

    def check(self, cell: Cell) -> Answer:
        """Checks the data, the device and the compiler of ``cell`` in a process without a cell's limits."""
        return self._servers[cell.allocator].ask(self._request([cell], _CHECK_LIMITS, task="check"))

    def measure(self, cell: Cell) -> Answer:
        """Runs the passes of ``cell`` that are not timed; the environment also says what disturbed the machine."""
        return self._watched([cell], task="measure", passes=untimed_passes(cell))

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
        """Times ``cells``, see :class:`~bench.execute.executor.Executor`; their environments say what disturbed it."""
        is_last = process == cells[0].processes - 1
        answer = self._watched(cells, task="time", process=process, is_last=is_last, loops=loops)
        if answer.members is None and answer.status == "ok" and not answer.apart:  # of a cell on several ranks
            return Answer(status="ok", members=(answer,), work_seconds=answer.work_seconds)
        return answer

    def trace(self, cell: Cell) -> Answer:
        """Traces a step of ``cell``, see :class:`~bench.execute.executor.Executor`."""
        return self._watched([cell], task="trace")

    def _watched(self, cells: Sequence[Cell], **work: Any) -> Answer:
        """Runs a process, and adds to each environment what it shares with others and what disturbed the machine."""
        server = self._servers[cells[0].allocator]
        watch = CellWatch(self._system, own=[server.start()], alone=self._share.jobs == 1)
        answer = server.ask(self._request(cells, self._limits_for(cells), **work))
        found: dict[str, str] | None = None

        def completed(one: Answer) -> Answer:
            nonlocal found
            environment = machine_environment() | one.environment
            if found is None:
                found = watch.findings(environment)
            environment["doctor"] = found | environment.get("doctor", {})
            return one.model_copy(update={"environment": environment})

        if answer.members is None:
            return completed(answer)
        seconds = answer.work_seconds and answer.work_seconds / len(cells)
        members = [completed(member).model_copy(update={"work_seconds": seconds}) for member in answer.members]
        return answer.model_copy(update={"members": tuple(members)})

    def split(self, jobs: int, threads: int) -> list[Self]:
        """Makes ``jobs`` executors, each with a server of its own, see :class:`~bench.execute.executor.Executor`."""
        shares = [Share(number, jobs, threads) for number in range(jobs)]
        return [type(self)(self._settings, system=self._system, share=share) for share in shares]

    def _request(self, cells: Sequence[Cell], limits: Limits, **work: Any) -> Request:
        ranks = cells[0].ranks if self.place is None else self.place.local_ranks
        threads = cells[0].threads and cells[0].threads * ranks
        first = self._share.number * self._share.threads
        return Request(
            cells=tuple(cells),
            limits=limits,
            data_root=self._settings.data_root,
            download=self._settings.download,
            cpus=tuple(choose_cpus(self._system, threads, first)) if self._settings.pin else None,
            place=self.place,
            **work,
        )

    def _limits_for(self, cells: Sequence[Cell]) -> Limits:
        timeout_seconds = self._settings.timeout_seconds * len(cells)
        if cells[0].device != "cpu":  # CUDA maps far more memory than it uses
            return Limits(timeout_seconds=timeout_seconds)
        memory_bytes = self._settings.memory_limit_bytes
        if memory_bytes is None or self._share.jobs > 1:
            available = self._system.available_memory_bytes()
            if available is not None:
                free_bytes = round(available * (1 - _SPARE_SHARE) / self._share.jobs)
                memory_bytes = free_bytes if memory_bytes is None else min(memory_bytes, free_bytes)
        return Limits(timeout_seconds=timeout_seconds, memory_bytes=memory_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the servers, and the cells that they may be running, except for a server that was passed in."""
        for server in self._own_servers:
            server.close()
