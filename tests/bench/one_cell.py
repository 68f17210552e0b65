"""Measures one cell as a sweep does, without a results file."""

from bench.config.cell import Cell
from bench.execute.executor import Executor
from bench.execute.messages import Answer
from bench.execute.unfinished import UnfinishedCell
from bench.store.record import Record


def measure_cell(cell: Cell, executor: Executor, retries: int = 0) -> Record:
    """The record of ``cell``, whose processes ``executor`` runs."""
    one = UnfinishedCell(cell, "suite")

    def time() -> Answer:
        answer = executor.time([cell], len(one.timed))
        return answer.members[0] if answer.members else answer

    while not one.is_finished:
        one.ask((lambda: executor.measure(cell)) if one.wants_untimed else time, retries)
    return one.record()
