"""The tasks of a worker process: the bytes of a cell, and the largest batch of a line. Calling them imports torch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.cell import Cell
from bench.errors import BenchError, first_line
from bench.plan.grid import at_batch, shape_of
from bench.plan.search import largest_fitting
from bench.store.record import Memory

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
        total_bytes: peak total bytes at the batch; None if no batch fits.
        next_total_bytes: peak total bytes with one more sample; None if that was not evaluated.
    """

    batch: int
    total_bytes: int | None
    next_total_bytes: int | None


def predict(cell: Cell, round_to: int, data_root: Path | None = None) -> Memory | Failure:
    """Return the predicted bytes of ``cell``; an error in its step is returned as a failure, so that a plan goes on."""
    prediction = _predict(cell, round_to, data_root)
    return prediction if isinstance(prediction, Failure) else prediction.memory


def _predict(cell: Cell, round_to: int, data_root: Path | None) -> "Prediction | Failure":
    from bench.measure.memory.predict import predict_with_heads

    try:
        return predict_with_heads(cell, *shape_of(cell, data_root), round_to)
    except BenchError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(first_line(error))


def largest_batch(line: Cell, round_to: int, budget: int, data_root: Path | None = None) -> Largest | Failure:
    """Return the largest batch of ``line`` with at most ``budget`` peak total bytes.

    The batch size of ``line`` is the smallest legal one; smaller batches count as that one.
    """
    try:
        return LinePredictions(line, round_to, data_root).largest(budget)
    except BenchError as error:
        return Failure(str(error))


class LinePredictions:
    """The predictions for a line of cells that differ only in the batch size, each made once.

    Args:
        line: the cell of the smallest legal batch; smaller batches count as that one.
        round_to: storage sizes are rounded up to a multiple of this number of bytes.
        data_root: the directory of data sets from files.
    """

    def __init__(self, line: Cell, round_to: int, data_root: Path | None = None) -> None:
        self._line = line
        self._predict = partial(_predict, round_to=round_to, data_root=data_root)
        self._known: dict[int, Prediction] = {}

    def at(self, batch: int) -> "Prediction":
        """Return the prediction at ``batch``.

        Raises:
            BenchError: they cannot be planned.
        """
        batch = max(batch, self._line.batch_size)
        if batch not in self._known:
            prediction = self._predict(at_batch(self._line, batch))
            if isinstance(prediction, Failure):
                raise BenchError(prediction.message)
            self._known[batch] = prediction
        return self._known[batch]

    def largest(self, budget: int) -> Largest:
        """Return the largest batch with at most ``budget`` peak total bytes.

        Raises:
            BenchError: the bytes of a batch cannot be planned.
        """

        def total_bytes(batch: int) -> int:
            return self.at(batch).memory.peak_total_bytes

        batch = largest_fitting(total_bytes, budget, BATCH_LIMIT, self._line.batch_size)
        return Largest(
            batch,
            total_bytes(batch) if batch else None,
            total_bytes(batch + 1) if batch < BATCH_LIMIT else None,
        )
