"""The tasks of a worker process: the bytes of a cell, and the largest batch of a line. Calling them imports torch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.cell import Cell
from bench.errors import BenchError, first_line
from bench.plan.grid import at_legal_batch, shape_of
from bench.plan.search import largest_fitting
from bench.store.measurements.memory import Memory

if TYPE_CHECKING:
    from bench.measure.memory.predict import Prediction

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
        by_rank: peak total bytes of each rank at the batch; None if no batch fits.
        next_by_rank: those with one more sample, or at the next legal batch; None if that was not evaluated.
    """

    batch: int
    by_rank: tuple[int, ...] | None
    next_by_rank: tuple[int, ...] | None

    @property
    def total_bytes(self) -> int | None:
        """Those of the rank that needs most at the batch."""
        return None if self.by_rank is None else max(self.by_rank)

    @property
    def next_total_bytes(self) -> int | None:
        """Those of the rank that needs most at the next legal batch."""
        return None if self.next_by_rank is None else max(self.next_by_rank)


def predict(cell: Cell, round_to: int, data_root: Path | None = None) -> tuple[Memory, ...] | Failure:
    """Return the predicted bytes of each rank of ``cell``, in order.

    An error in its step is returned as a failure, so that a plan goes on.
    """
    predictions = _predict(cell, round_to, data_root)
    return predictions if isinstance(predictions, Failure) else tuple(one.memory for one in predictions)


def _predict(cell: Cell, round_to: int, data_root: Path | None) -> "tuple[Prediction, ...] | Failure":
    from bench.measure.memory.predict import predict_by_rank

    try:
        return tuple(predict_by_rank(cell, *shape_of(cell, data_root), round_to))
    except BenchError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(first_line(error))


def largest_batch(line: Cell, round_to: int, budget: int, data_root: Path | None = None) -> Largest | Failure:
    """Return the largest batch of ``line`` with at most ``budget`` peak total bytes on each rank.

    The batch size of ``line`` is the smallest legal one. A batch that is not legal, as one of a schedule whose
    micro-batches would differ in size, counts as the next larger one that is.
    """
    try:
        return LinePredictions(line, round_to, data_root).largest(budget)
    except BenchError as error:
        return Failure(str(error))


class LinePredictions:
    """The predictions for a line of cells that differ only in the batch size, each made once.

    Args:
        line: the cell of the smallest legal batch. A batch that is not legal counts as the next larger one that is.
        round_to: storage sizes are rounded up to a multiple of this number of bytes.
        data_root: the directory of data sets from files.
    """

    def __init__(self, line: Cell, round_to: int, data_root: Path | None = None) -> None:
        self._line = line
        self._predict = partial(_predict, round_to=round_to, data_root=data_root)
        self._known: dict[int, tuple[Prediction, ...]] = {}

    def at(self, batch: int) -> "tuple[Prediction, ...]":
        """Return the predictions of all ranks at ``batch``.

        Raises:
            BenchError: they cannot be planned.
        """
        cell = at_legal_batch(self._line, batch)
        if cell.batch_size not in self._known:
            predictions = self._predict(cell)
            if isinstance(predictions, Failure):
                raise BenchError(predictions.message)
            self._known[cell.batch_size] = predictions
        return self._known[cell.batch_size]

    def largest(self, budget: int) -> Largest:
        """Return the largest batch with at most ``budget`` peak total bytes on each rank.

        Raises:
            BenchError: the bytes of a batch cannot be planned.
        """

        def by_rank(batch: int) -> tuple[int, ...]:
            return tuple(one.memory.peak_total_bytes for one in self.at(batch))

        batch = largest_fitting(lambda batch: max(by_rank(batch)), budget, BATCH_LIMIT, self._line.batch_size)
        return Largest(
            batch,
            by_rank(batch) if batch else None,
            by_rank(batch + 1) if batch < BATCH_LIMIT else None,
        )
