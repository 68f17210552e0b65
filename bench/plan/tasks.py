"""What a process of the pool is asked: the bytes of a cell, or the largest batch of a line. Loads torch when called."""

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
    """Why a cell cannot be planned."""

    message: str


@dataclass(frozen=True)
class Largest:
    """The largest batch that fits, 0 if none does, and :data:`BATCH_LIMIT` if that fits, too.

    ``total_bytes`` is its peak of total bytes, None where there is no such batch; ``next_total_bytes`` the peak with
    one sample more, None where that was not looked at.
    """

    batch: int
    total_bytes: int | None
    next_total_bytes: int | None


def predict(cell: Cell, round_to: int, data_root: Path | None = None) -> Memory | Failure:
    """The bytes of ``cell``; whatever goes wrong in its step becomes a failure, so that a plan goes on."""
    from bench.measure.memory.predict import predict_memory

    try:
        return predict_memory(cell, *shape_of(cell, data_root), round_to)
    except BenchError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(first_line(error))


def largest_batch(line: Cell, round_to: int, budget: int, data_root: Path | None = None) -> Largest | Failure:
    """The largest batch of ``line`` whose peak of total bytes is at most ``budget``; the line's own is its smallest."""
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
