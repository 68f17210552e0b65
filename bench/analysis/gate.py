"""What the gate decides: whether a change of the code costs bytes or time.

Bytes are the same in every run with one version of torch, so they are compared with the baseline's, and any difference
is an alarm: one that is meant is put into the baseline, with the reason. Times are ratios to what was timed beside
them. Such a ratio depends on the machine, too, so the baseline's serve only on the machine that they were measured on;
elsewhere the code of the baseline is measured beside the code that is judged. All of it is :func:`compare`'s doing.

The limit for times is half of the change that has to be found. An alarm thus needs an estimate beyond it, and an
interval, corrected for the number of cells, that excludes no change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.analysis.compare import STATUS, Change, Compared, Thresholds, compare
from bench.analysis.machines import machine_of
from bench.store.record import Record

FOUND_PERCENT = 10.0  # a change of times that has to be found
THRESHOLDS = Thresholds(bytes=0.0, time=FOUND_PERCENT / 2)
REASON = "renewed_because"  # in the environment of the records of a baseline

Names = tuple[str, str]


@dataclass(frozen=True)
class Decision:
    """The result of the gate.

    Attributes:
        changes: all comparisons: of status and bytes, then of times.
        alarms: those of them that make the gate fail.
        notes: what a person should know.
        times_from_baseline: whether times were compared with the baseline's own.
        unjudged: what could not be compared with anything, such as ``times``, with the reason; empty if all was.
    """

    changes: list[Change]
    alarms: list[Change]
    notes: list[str]
    times_from_baseline: bool
    unjudged: dict[str, str]

    @property
    def is_open(self) -> bool:
        """Whether nothing raised an alarm."""
        return not self.alarms

    @property
    def time_alarms(self) -> list[Change]:
        """The alarms that are about times."""
        return [alarm for alarm in self.alarms if is_time(alarm)]

    @property
    def blind(self) -> list[Change]:
        """The times in which a change that has to be found would go unnoticed: their interval reaches that far."""
        return [
            change
            for change in self.changes
            if is_time(change) and change not in self.alarms and _reach(change) >= FOUND_PERCENT
        ]


def is_time(change: Change) -> bool:
    """Whether ``change`` is one of times."""
    return change.quantity.endswith("_time")


def _reach(change: Change) -> float:
    """Return the slowdown, in per cent, that the interval cannot exclude."""
    high = None if change.amount is None else change.amount.high
    return float("inf") if high is None else high


def decide(
    baseline: Sequence[Record],
    head: Sequence[Record],
    base: Sequence[Record] | None = None,
    names: Names = ("the baseline", "the code now"),
) -> Decision:
    """Judge ``head``.

    Args:
        baseline: the committed records, one per id.
        head: those of the code that is judged, measured just now.
        base: those of the code that it is compared with, measured beside ``head``; None if that was not measured.
        names: of the code that it is compared with, and of the code that is judged.
    """
    unjudged: dict[str, str] = {}
    of_bytes = compare(baseline, head, THRESHOLDS, names=("the baseline", names[1]))
    exact = [change for change in of_bytes.changes if not is_time(change)]
    notes = []
    if why := _other_torch(baseline, head):
        if base is None:
            unjudged["bytes"] = why
            exact = [change for change in exact if change.quantity == STATUS]
        else:
            notes.append(f"Bytes are compared with those of {names[0]}, measured here: {why}.")
            exact = [change for change in compare(base, head, THRESHOLDS, names=names).changes if not is_time(change)]
    times: list[Change] = []
    if base is not None:
        times = _times(compare(base, head, THRESHOLDS, names=names))
    elif any(record.latency is not None for record in head):
        if why := _other_machine(baseline, head):
            unjudged["times"] = why
        else:
            times = _times(of_bytes)
    changes = [*exact, *times]
    alarms = [change for change in changes if _is_alarm(change)] + _strangers(of_bytes)
    return Decision(changes, alarms, notes, base is None and bool(times), unjudged)


def confirmed(first: Decision, second: Decision) -> Decision:
    """Return ``second``, a decision from another measurement, with those alarms of times that ``first`` has as well."""
    suspects = {(alarm.quantity, alarm.cell) for alarm in first.time_alarms}
    alarms = [alarm for alarm in second.alarms if not is_time(alarm) or (alarm.quantity, alarm.cell) in suspects]
    count = sum(map(is_time, alarms))
    note = f"{count} of {len(suspects)} alarms of times were confirmed by a second measurement, beside the code before."
    return replace(second, alarms=alarms, notes=[*second.notes, note])


def _times(compared: Compared) -> list[Change]:
    return [change for change in compared.changes if is_time(change)]


def _is_alarm(change: Change) -> bool:
    if change.quantity.endswith("bytes"):
        return change.word != "same"  # fewer, too: the baseline no longer says what the code needs
    return change.word == "worse"


def _strangers(compared: Compared) -> list[Change]:
    """Return an alarm for each cell that is only in the baseline, or not in it."""
    words = ("in the baseline, not measured now", "not in the baseline")
    return [
        Change(cell, STATUS, "worse", why, "none", f"{cell}: {why}")
        for why, cells in zip(words, compared.left_out, strict=True)
        for cell in cells
    ]


def _other_torch(baseline: Iterable[Record], head: Iterable[Record]) -> str | None:
    """Return why bytes of both may differ for a reason that is not the code's, or None."""
    before, now = (sorted({str(record.environment.get("torch")) for record in side}) for side in (baseline, head))
    return None if before == now else f"the baseline is of torch {' and '.join(before)}, this is {' and '.join(now)}"


def _other_machine(baseline: Iterable[Record], head: Iterable[Record]) -> str | None:
    """Return why times of both may differ for a reason that is not the code's, or None."""
    before, now = ({machine_of(record) for record in side if record.latency is not None} for side in (baseline, head))
    if before == now:
        return None
    return "the baseline comes from another machine, or another configuration of this one"
