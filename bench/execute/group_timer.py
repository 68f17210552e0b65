"""One process after the other that times a group of cells, and what becomes of cells that cannot share one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.config.cell import Cell
from bench.execute.executor import Executor
from bench.execute.messages import Answer
from bench.execute.unfinished import UnfinishedCell
from bench.execute.watcher import Watcher


@dataclass(frozen=True)
class GroupTimer:
    """Times groups of cells, see :mod:`bench.execute.groups`.

    Attributes:
        executor: runs the processes.
        watcher: is told of each.
        retries: how often a process of one cell that crashes is started again.
        process_ended: is called with the cells that a process has measured, or that have failed in it, and the number
            of the process from 1.
    """

    executor: Executor
    watcher: Watcher
    retries: int
    process_ended: Callable[[Sequence[UnfinishedCell], int], None]

    def time(self, group: Sequence[UnfinishedCell], process: int) -> None:
        """Times cells of a group in one process, and those that cannot share it in one each.

        A process that ends without saying whose fault it was is blamed on the cells that fail in one of their own. If
        none does, these cells are timed by themselves from then on.

        Args:
            group: the cells; each has been timed by ``process`` processes.
            process: the number of the process, from 0.
        """
        together = [one for one in group if not one.apart and one.cell.ranks == 1]
        alone = [one for one in group if one not in together]
        while len(together) > 1:
            answer = self._ask(together, process)
            if answer.members is not None:
                self._keep(together, answer.members, process)
                together = []
            elif answer.apart:
                for place in answer.apart:
                    together[place].apart = True
                alone += [one for one in together if one.apart]
                together = [one for one in together if not one.apart]
            else:
                for one in together:
                    self._time_alone(one, process)
                blameless = all(one.failure is None for one in together)
                for one in together:
                    one.apart = blameless
                together = []
        for one in [*alone, *together]:
            self._time_alone(one, process)

    def _ask(self, group: Sequence[UnfinishedCell], process: int) -> Answer:
        """Runs one process, and divides its time evenly among its cells."""
        start = time.perf_counter()
        answer = self._run([one.cell for one in group], process, _loops(group))
        for one in group:
            one.seconds += (time.perf_counter() - start) / len(group)
        return answer

    def _keep(self, group: Sequence[UnfinishedCell], answers: Sequence[Answer], process: int) -> None:
        """Keeps the answers of a process, and times cells again that crashed in it, by themselves."""
        kept = []
        for one, answer in zip(group, answers, strict=True):
            if answer.status == "crashed" and not answer.final and self.retries:
                self._time_alone(one, process, crashes=(answer.message or "",))
            else:
                one.keep(answer)
                kept.append(one)
        self.process_ended(kept, process + 1)

    def _time_alone(self, one: UnfinishedCell, process: int, crashes: tuple[str, ...] = ()) -> None:
        def ask() -> Answer:
            answer = self._run([one.cell], process, _loops([one]))
            return answer.members[0] if answer.members else answer

        one.ask(ask, self.retries, crashes)
        self.process_ended([one], process + 1)

    def _run(self, cells: Sequence[Cell], process: int, loops: int | None) -> Answer:
        self.watcher.process_begins(cells, process + 1)
        return self.executor.time(cells, process, loops)


def _loops(group: Sequence[UnfinishedCell]) -> int | None:
    """The steps in a leg of earlier processes of these cells; None if there were none."""
    samples = (answer.latency_sample for one in group for answer in one.timed)
    return next((sample.loops for sample in samples if sample is not None), None)
