"""The record that counts where a cell has several."""

from collections.abc import Iterable
from datetime import UTC, datetime

from bench.store.record import Record


def latest_records(*files: Iterable[Record]) -> dict[str, Record]:
    """Return the record that counts for each id, in the order in which the ids first appear.

    Within a file it is the last one, whatever its time says: records are only ever appended, and a clock may be set
    back. Of the last ones of several files, it is the one that was created latest; of those with equal times, or with
    times that cannot be read, the one of the file given last.

    Args:
        files: the records of each file in order.
    """
    latest: dict[str, Record] = {}
    for records in files:
        for id_, record in {record.id: record for record in records}.items():
            known = latest.get(id_)
            if known is None or _time(known) <= _time(record):
                latest[id_] = record
    return latest


def _time(record: Record) -> datetime:
    """When ``record`` was created, in UTC where it does not say; the earliest time there is if it cannot be read."""
    try:
        time = datetime.fromisoformat(record.created)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
