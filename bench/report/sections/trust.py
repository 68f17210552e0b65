"""The section ``trust``: which numbers can be relied on, and what disturbed the others."""

from dataclasses import dataclass

import pandas as pd

from bench.analysis.again import measured_again
from bench.analysis.words import counted
from bench.report.environments import doctor_findings, has_doctor
from bench.report.figures.figure import Figure
from bench.report.figures.reliability import draw_reliability
from bench.report.inputs import Inputs
from bench.report.tables.again import again_table
from bench.report.tables.failures import failure_table
from bench.report.tables.limit import Limited
from bench.report.tables.states import states_table
from bench.report.tables.unreliable import unreliable_table
from bench.report.warnings import drift_of, warnings_of

_MOST_NAMED = 3


@dataclass(frozen=True)
class Trust:
    """The content of the section.

    Attributes:
        summary: how many times can be relied on, and which cannot; None on a page without times.
        warnings: about files, machines and instruments.
        figure: BP compared with itself, and its own times.
        unreliable: the times that cannot be relied on.
        drift: sentences on processes in which BP's own step time is not the usual one.
        findings: of the doctor while times were measured: the check, the number of records, and what it said first.
        checked: the number of timed records that were made with the doctor.
        states: counters and probes by cell.
        again: cells that were measured again.
        failures: cells without a result.
        failed: their number by status.
    """

    summary: str | None
    warnings: list[str]
    figure: Figure | None
    unreliable: Limited
    drift: list[str]
    findings: list[tuple[str, int, str]]
    checked: int
    states: Limited
    again: Limited
    failures: Limited
    failed: dict[str, int]


def trust(inputs: Inputs) -> Trust | None:
    """Return the content of the section; None if there is nothing to say."""
    frame, measured = inputs.frame, inputs.measured
    timed = [record for record in inputs.records if record.latency is not None or record.inference is not None]
    failures = failure_table(frame)
    content = Trust(
        summary=reliability_sentence(measured),
        warnings=warnings_of(inputs),
        figure=draw_reliability(measured, inputs.times_of_bp) if timed and not measured.empty else None,
        unreliable=unreliable_table(measured),
        drift=drift_of(inputs),
        findings=doctor_findings(timed),
        checked=sum(map(has_doctor, timed)),
        states=states_table(timed),
        again=again_table([cell for content in inputs.contents for cell in measured_again(content.records)]),
        failures=failures,
        failed={str(status): count for status, count in frame["status"].value_counts().items() if status != "ok"},
    )
    has_nothing = not timed and not content.warnings and content.again.table.empty and failures.table.empty
    return None if has_nothing else content


def reliability_sentence(frame: pd.DataFrame) -> str | None:
    """Return how many times in ``frame`` can be relied on; None if it has none."""
    kinds = [
        (counts, part)
        for part, counts in (
            ("latency", ("step time", "step times")),
            ("inference", ("prediction time", "prediction times")),
        )
        if not frame.empty and frame[f"has_{part}"].any()
    ]
    if not kinds:
        return None
    sentences = []
    for (singular, plural), part in kinds:
        rows = frame[frame[f"has_{part}"]]
        noisy = rows[rows[f"{part}.noisy_because"].notna()]
        if not noisy.empty:
            names = _named(noisy)
            verb = "is" if len(noisy) == 1 else "are"
            sentences.append(f"{len(noisy)} of {counted(len(rows), singular)} {verb} noisy: {names}.")
        elif len(rows) == 1:
            sentences.append(f"The only {singular} is reliable.")
        else:
            sentences.append(f"All {len(rows):,} {plural} are reliable.")
    return " ".join(sentences)


def _named(rows: pd.DataFrame) -> str:
    names = [
        f"{row['series']} on {row['network']}, depth {row['depth']}, batch {row['batch_size']}"
        for _, row in rows.head(_MOST_NAMED).iterrows()
    ]
    more = len(rows) - len(names)
    return "; ".join([*names, *([f"and {more} more"] if more else [])])
