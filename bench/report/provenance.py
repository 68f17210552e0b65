"""Where the numbers of a page come from, in one line."""

from collections import Counter
from datetime import UTC, datetime

from bench.analysis.words import counted
from bench.report.figures.words import joined
from bench.report.inputs import Inputs

_MOST_NAMES = 3


def provenance_of(inputs: Inputs) -> str:
    """Return the number of records by status, their files, days and commits, and when the page was made.

    For example ``184 records of default.jsonl, measured on 2026-11-26 at commit 5f26643c163a; page made ...``.
    """
    statuses = Counter(record.status for record in inputs.records)
    failed = [f"{count} {status}" for status, count in sorted(statuses.items()) if status != "ok"]
    days = sorted({record.created[:10] for record in inputs.records})
    commits = sorted({str(record.environment.get("commit") or "unknown") for record in inputs.records})
    parts = [
        f"{counted(len(inputs.records), 'record')}{f' ({joined(failed)})' if failed else ''}",
        f" of {_names([file.name for file in inputs.files], 'file')}, measured",
        f" on {days[0]}" if len(days) == 1 else f" from {days[0]} to {days[-1]}",
        f" at {'commit' if len(commits) == 1 else 'commits'} {_names(commits, 'commit')}",
        f"; page made {datetime.now(UTC).isoformat(timespec='minutes')}",
    ]
    return "".join(parts)


def _names(names: list[str], noun: str) -> str:
    """Return a few names, and how many there are besides."""
    if len(names) <= _MOST_NAMES:
        return joined(names)
    return f"{', '.join(names[:_MOST_NAMES])} and {counted(len(names) - _MOST_NAMES, f'more {noun}')}"
