"""Live bytes of a traced step, event by event."""

from collections import Counter
from collections.abc import Iterator

from bench.store.traced_step import Created, TracedStep

Key = tuple[int, Created]  # the number of the module, and the category


def live_bytes(traced: TracedStep) -> Iterator[Counter[Key]]:
    """Yield the live bytes by module and category after each event: the same object each time, which changes."""
    live: Counter[Key] = Counter()
    created = traced.created
    for storage, change in zip(traced.events.storage, traced.events.bytes, strict=True):
        live[created.module[storage], created.category[storage]] += change
        yield live


def event_of_peak(traced: TracedStep) -> int | None:
    """Return the number of the event after which the most bytes are live, the first of equals; None without events."""
    total = highest = 0
    found = None
    for number, change in enumerate(traced.events.bytes):
        total += change
        if total > highest:
            highest, found = total, number
    return found
