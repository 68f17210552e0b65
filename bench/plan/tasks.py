"""The tasks of a worker process: the bytes of a cell, and the largest batch of a line. Calling them imports torch."""

from dataclasses import dataclass
from pathlib import Path

from bench.config.cell import Cell
from bench.errors import BenchError, first_line
from bench.plan.grid import at_legal_batch, shape_of
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
        total_bytes: peak total bytes of each rank at the batch; None if no batch fits.
        next_total_bytes: those with one more sample, or at the next legal batch; None if that was not evaluated.
    """

    batch: int
    total_bytes: tuple[int, ...] | None
    next_total_bytes: tuple[int, ...] | None


def predict(cell: Cell, round_to: int, data_root: Path | None = None) -> tuple[Memory, ...] | Failure:
    """Return the predicted bytes of each rank of ``cell``, in order.

    An error in its step is returned as a failure, so that a plan goes on.
    """
    from bench.measure.memory.predict import predict_memory_by_rank

    try:
        return tuple(predict_memory_by_rank(cell, *shape_of(cell, data_root), round_to))
    except BenchError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(first_line(error))


def largest_batch(line: Cell, round_to: int, budget: int, data_root: Path | None = None) -> Largest | Failure:
    """Return the largest batch of ``line`` with at most ``budget`` peak total bytes on each rank.

    The batch size of ``line`` is the smallest legal one. A batch that is not legal, as one of a schedule whose
    micro-batches would differ in size, counts as the next larger one that is.
    """
    totals: dict[int, tuple[int, ...]] = {}  # of each rank, by the batch that was asked for
    found: dict[int, tuple[int, ...]] = {}  # by the batch of the cell

    def total_bytes(batch: int) -> int:
        cell = at_legal_batch(line, batch)
        if cell.batch_size not in found:
            memories = predict(cell, round_to, data_root)
            if isinstance(memories, Failure):
                raise BenchError(memories.message)
            found[cell.batch_size] = tuple(memory.peak_total_bytes for memory in memories)
        totals[batch] = found[cell.batch_size]
        return max(totals[batch])

    try:
        batch = largest_fitting(total_bytes, budget, BATCH_LIMIT)
    except BenchError as error:
        return Failure(str(error))
    return Largest(batch, totals.get(batch), totals.get(batch + 1))
