"""Which batch a measurement can afford, from what smaller ones took."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.reliability import fewest_blocks
from bench.store.record import Record

PROCESSES = 3  # that time the rules
_STEPS = 4  # of a memory pass
_WARM_UP_STEPS = 3


@dataclass(frozen=True)
class Took:
    """What the memory pass of one rule took.

    Attributes:
        batch_size: the batch.
        seconds: of its process, with all that does not depend on the batch.
    """

    batch_size: int
    seconds: float


def took(records: Iterable[Record]) -> list[Took]:
    """Return what the memory passes of ``records`` took, without those that failed."""
    return [
        Took(record.cell.batch_size, record.timing.work_seconds)
        for record in records
        if record.status == "ok" and record.timing is not None
    ]


def batch_for_bytes(small: Sequence[Took], seconds: float) -> int:
    """Return the largest batch at which the memory passes of all rules take ``seconds``, at most.

    All of what a pass took is put down to the batch, so a pass at a larger one takes less than that.

    Args:
        small: of each rule, at a small batch; at least one.
        seconds: of all passes together.
    """
    return int(seconds / sum(one.seconds / one.batch_size for one in small))


def batch_for_times(passes: Sequence[Took], seconds: float) -> int:
    """Return the largest batch at which all rules can be timed in ``seconds``, in :data:`PROCESSES` processes.

    Args:
        passes: of each rule, at the largest batch that was measured; at least one.
        seconds: of all processes together.
    """
    steps = (2 * fewest_blocks(PROCESSES) + _WARM_UP_STEPS) * PROCESSES
    return int(seconds / sum(one.seconds / one.batch_size / _STEPS * steps for one in passes))
