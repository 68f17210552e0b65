"""The environments of the records: machines, and what the doctor found while they ran."""

import json
from collections.abc import Iterable, Sequence

from bench.analysis.machines import machine_of
from bench.store.record import Record


def count_machines(records: Iterable[Record]) -> int:
    """Return the number of distinct machines, or configurations of a machine, that step times depend on."""
    return len({machine_of(record) for record in records})


def doctor_findings(records: Iterable[Record]) -> list[tuple[str, int, str]]:
    """Return the checks that warned: name, number of records with the warning, and the first warning's text."""
    counted: dict[str, tuple[int, str]] = {}
    for record in records:
        found = record.environment.get("doctor")
        for name, text in found.items() if isinstance(found, dict) else ():
            count, first = counted.get(name, (0, _text(text)))
            counted[name] = (count + 1, first)
    return [(name, count, first) for name, (count, first) in counted.items()]


def distinct_environments(records: Iterable[Record]) -> list[tuple[dict[str, str], int]]:
    """Return the distinct environments as text, each with its number of records and a summary of the doctor."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        shown = {name: _text(value) for name, value in record.environment.items() if name != "doctor"}
        groups.setdefault(json.dumps(shown), []).append(record)
    return [(json.loads(key) | _doctor_summary(group), len(group)) for key, group in groups.items()]


def _doctor_summary(records: Sequence[Record]) -> dict[str, str]:
    """Return the line of the doctor's findings; none if the records were made without the doctor."""
    if not any("doctor" in record.environment for record in records):
        return {}
    found = [f"{name}: {first} ({count} of {len(records)})" for name, count, first in doctor_findings(records)]
    return {"doctor": "; ".join(found) or "no warning"}


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
