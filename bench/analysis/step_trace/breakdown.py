"""Where the bytes of a step are: by module and category, at its peak and over its course."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, NamedTuple, get_args

from bench.analysis.step_trace.live import event_of_peak, live_bytes
from bench.analysis.step_trace.parts import part_of, shown
from bench.store.traced_step import Created, Held, TracedStep

CREATED: tuple[str, ...] = get_args(Created)
HELD: tuple[str, ...] = get_args(Held)
_POINTS = 100


class Row(NamedTuple):
    """Bytes of one module in one category, at the moment of the peak.

    Attributes:
        part: see :func:`bench.analysis.step_trace.parts.part_of`.
        module: the name of the module.
        category: one of :data:`CREATED` or :data:`HELD`.
        bytes: above 0.
    """

    part: str
    module: str
    category: str
    bytes: int


class Moment(NamedTuple):
    """The moment with the most live bytes in an interval of a step.

    Attributes:
        operators: how many had begun.
        phase: a letter, as in a record.
        seconds: from the beginning of the step.
        bytes: created by the step and live.
        by_category: that by category.
        by_part: that by part.
    """

    operators: int
    phase: str
    seconds: float
    bytes: int
    by_category: Mapping[str, int]
    by_part: Mapping[str, int]


@dataclass(frozen=True)
class Breakdown:
    """Where the bytes of a step are.

    Attributes:
        rows: at the first moment of the peak, modules in the order of the network; what the step created sums to
            ``peak_activation_bytes`` of the exact instrument, and all of it to ``peak_total_bytes``.
        operators_at_peak: how many operators had begun; None for a step without events.
        phase_at_peak: a letter; None likewise.
        operators: in the step.
        course: the step in up to about 100 intervals of equal numbers of operators.
    """

    rows: list[Row]
    operators_at_peak: int | None
    phase_at_peak: str | None
    operators: int
    course: list[Moment]

    @property
    def created_bytes(self) -> int:
        """What the step has created and is live at the peak."""
        return sum(row.bytes for row in self.rows if row.category in CREATED)

    @property
    def total_bytes(self) -> int:
        """That, and what the step holds from its beginning to its end."""
        return sum(row.bytes for row in self.rows)

    def table(self, *, by_part: bool) -> dict[str, Counter[str]]:
        """Return the bytes by category of each part, or of each module, in the order of the network."""
        found: dict[str, Counter[str]] = {}
        for row in self.rows:
            found.setdefault(row.part if by_part else row.module, Counter())[row.category] += row.bytes
        return found


def break_down(traced: TracedStep) -> Breakdown:
    """Return where the bytes of ``traced`` are."""
    peak = event_of_peak(traced)
    at_peak: Counter[tuple[int, str]] = Counter()
    for number, live in enumerate(live_bytes(traced)):
        if number == peak:
            at_peak.update(live)
            break
    held = traced.held
    for module, category, size in zip(held.module, held.category, held.bytes, strict=True):
        at_peak[module, category] += size
    order = {category: place for place, category in enumerate((*CREATED, *HELD))}
    keys = sorted((key for key, size in at_peak.items() if size), key=lambda key: (key[0], order[key[1]]))
    names = traced.modules
    return Breakdown(
        rows=[
            Row(shown(part_of(names[module])), shown(names[module]), category, at_peak[module, category])
            for module, category in keys
        ],
        operators_at_peak=None if peak is None else traced.events.operators[peak],
        phase_at_peak=None if peak is None else traced.events.phase[peak],
        operators=len(traced.runs.name),
        course=_course(traced),
    )


def _course(traced: TracedStep) -> list[Moment]:
    """The moment with the most live bytes of each interval."""
    events = traced.events
    interval = max(1, -(-len(traced.runs.name) // _POINTS))
    totals = list(accumulate(events.bytes))
    by_interval = groupby(range(len(totals)), key=lambda number: events.operators[number] // interval)
    chosen = {max(numbers, key=totals.__getitem__) for _, numbers in by_interval}
    parts = [shown(part_of(name)) for name in traced.modules]
    course: list[Moment] = []
    for number, live in enumerate(live_bytes(traced)):
        if number not in chosen:
            continue
        by_category, by_part = Counter[str](), Counter[str]()
        for (module, category), size in live.items():
            by_category[category] += size
            by_part[parts[module]] += size
        course.append(
            Moment(
                *(events.operators[number], events.phase[number], events.seconds[number], totals[number]),
                by_category=+by_category,
                by_part=+by_part,
            )
        )
    return course


def to_json(breakdown: Breakdown, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``breakdown`` as a JSON object, after the keys of ``about``."""
    return {
        **about,
        "peak_activation_bytes": breakdown.created_bytes,
        "peak_total_bytes": breakdown.total_bytes,
        "operators": breakdown.operators,
        "operators_at_peak": breakdown.operators_at_peak,
        "phase_at_peak": breakdown.phase_at_peak,
        "at_peak": [row._asdict() for row in breakdown.rows],
        "over_time": [moment._asdict() for moment in breakdown.course],
    }


def rows_csv(breakdown: Breakdown) -> str:
    """Return the rows at the peak as CSV."""
    return _csv(Row._fields, breakdown.rows)


def course_csv(breakdown: Breakdown) -> str:
    """Return the course of the step as CSV: a column for each category, and for each part."""
    categories = [name for name in CREATED if any(name in moment.by_category for moment in breakdown.course)]
    parts = list(dict.fromkeys(part for moment in breakdown.course for part in moment.by_part))
    return _csv(
        ("operators", "phase", "seconds", "bytes", *categories, *parts),
        [
            (
                *moment[:4],
                *(moment.by_category.get(name, 0) for name in categories),
                *(moment.by_part.get(name, 0) for name in parts),
            )
            for moment in breakdown.course
        ],
    )


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
