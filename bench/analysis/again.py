"""Cells that were measured again: results files keep each of their records, of which the last one counts."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.store.record import Record


@dataclass(frozen=True)
class MeasuredAgain:
    """A cell of one results file that was started more than once.

    Attributes:
        records: its records in order, one or more; one if it was only started again at once, after a crash.
    """

    records: tuple[Record, ...]

    @property
    def starts(self) -> int:
        """How often it was started."""
        return sum(record.attempts for record in self.records)


def measured_again(records: Iterable[Record]) -> list[MeasuredAgain]:
    """Return the cells of one results file that were measured again, in the order in which they first appear.

    Args:
        records: those of the file in order; copies of one record count once.
    """
    by_id: dict[str, list[Record]] = {}
    for record in records:
        own = by_id.setdefault(record.id, [])
        if record not in own:
            own.append(record)
    return [MeasuredAgain(tuple(own)) for own in by_id.values() if len(own) > 1 or own[0].attempts > 1]
