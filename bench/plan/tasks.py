"""The tasks of a worker process: the bytes of a cell, and the largest batch of a line. Calling them imports torch."""

from dataclasses import dataclass
from pathlib import Path

from bench.config.cell import Cell
from bench.errors import BenchError, first_line
from bench.plan.grid import at_batch, shape_of
from bench.plan.search import largest_fitting
from bench.store.record import Memory

BATCH_LIMIT = 2**24


@dataclass(frozen=True)
class Failure:
    """The reason why a cell cannot be planned."""

    message: str


@dataclass(frozen=True)
class Largest:
    """The largest batch that fits a budget.

    Attributes:
        batch: the batch; 0 if none fits, and :data:`BATCH_LIMIT` if the limit of the search fits.
        total_bytes: peak total bytes at the batch; None if no batch fits.
        next_total_bytes: peak total bytes with one more sample; None if that was not evaluated.
    """

    batch: int
    total_bytes: int | None
    next_total_bytes: int | None


def predict(cell: Cell, round_to: int, data_root: Path | None = None) -> Memory | Failure:
    """Return the predicted bytes of ``cell``; an error in its step is returned as a failure, so that a plan goes on."""
    from bench.measure.memory.predict import predict_memory

    try:
        return predict_memory(cell, *shape_of(cell, data_root), round_to)
    except BenchError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(first_line(error))


def largest_batch(line: Cell, round_to: int, budget: int, data_root: Path | None = None) -> Largest | Failure:
    """Return the largest batch of ``line`` with at most ``budget`` peak total bytes.

    The batch size of ``line`` is the smallest legal one; smaller batches count as that one.
    """
    totals: dict[int, int] = {}

    def total_bytes(batch: int) -> int:
        memory = predict(at_batch(line, max(batch, line.batch_size)), round_to, data_root)
        if isinstance(memory, Failure):
            raise BenchError(memory.message)
        totals[batch] = memory.peak_total_bytes
        return totals[batch]

    try:
        batch = largest_fitting(total_bytes, budget, BATCH_LIMIT)
    except BenchError as error:
        return Failure(str(error))
    return Largest(batch, totals.get(batch), totals.get(batch + 1))
