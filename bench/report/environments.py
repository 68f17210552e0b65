"""The environments of the records: machines, what is common to them, and what the doctor found while they ran."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.machines import machine_of
from bench.report.tables.text import ABSENT
from bench.store.findings import OWN_FILES, RULE_CHECK
from bench.store.record import Record

# Fields that the page shows elsewhere, the doctor's findings of a moment and commands, or not at all: the job of
# Slurm, and the versions of files that some cells name.
_APART = ("doctor", "command", "slurm", OWN_FILES)
_MOST_COLUMNS = 8


@dataclass(frozen=True)
class Environments:
    """What the records say of where they were made, as text.

    Attributes:
        common: by name, the fields that are equal in all records.
        differing: a column per distinct environment, those with the most records first. Its rows are the number of the
            machine, the number of records, and the fields that are not in ``common``. Empty for one environment.
        left_out: the number of environments without a column.
        machines: the number of distinct machines, or configurations of a machine, that step times depend on.
        commands: the commands that made the records, each with its number of records, the most frequent first.
    """

    common: dict[str, str]
    differing: pd.DataFrame
    left_out: int
    machines: int
    commands: list[tuple[str, int]]


def count_machines(records: Iterable[Record]) -> int:
    """Return the number of distinct machines, or configurations of a machine, that step times depend on."""
    return len({machine_of(record) for record in records})


def environments_of(records: Sequence[Record], most: int = _MOST_COLUMNS) -> Environments:
    """Return the environments of the records, up to ``most`` of them as columns.

    Machines are numbered in the order in which they first appear. A field that some records lack is not common.
    """
    machines: dict[str, int] = {}
    counts: Counter[tuple[int, str]] = Counter()
    for record in records:
        number = machines.setdefault(machine_of(record), len(machines) + 1)
        fields = {name: value for name, value in record.environment.items() if name not in _APART}
        counts[number, json.dumps(fields, sort_keys=True)] += 1
    found = [(number, count, json.loads(text)) for (number, text), count in counts.most_common()]
    names = list(dict.fromkeys(name for record in records for name in record.environment if name not in _APART))
    common = [name for name in names if _is_common(name, [fields for _, _, fields in found])]
    others = [name for name in names if name not in common]
    columns = {"field": ["machine", "records", *map(_words, others)]} | {
        f"environment {place}": [
            str(number),
            str(count),
            *(_text(fields[name]) if name in fields else ABSENT for name in others),
        ]
        for place, (number, count, fields) in enumerate(found[:most], start=1)
    }
    commands = Counter(str(record.environment["command"]) for record in records if record.environment.get("command"))
    return Environments(
        common={_words(name): _text(found[0][2][name]) for name in common},
        differing=pd.DataFrame(columns if len(found) > 1 else {}),
        left_out=max(0, len(found) - most),
        machines=len(machines),
        commands=commands.most_common(),
    )


def doctor_findings(records: Iterable[Record]) -> list[tuple[str, int, str]]:
    """Return the checks that warned: name, number of records with the warning, and the first warning's text."""
    counted: dict[str, tuple[int, str]] = {}
    for record in records:
        for name, text in _findings(record).items():
            count, first = counted.get(name, (0, _text(text)))
            counted[name] = (count + 1, first)
    return [(name, count, first) for name, (count, first) in counted.items()]


def has_doctor(record: Record) -> bool:
    """Return whether ``record`` was made with the doctor."""
    return "doctor" in record.environment


def _findings(record: Record) -> dict[str, Any]:
    found = record.environment.get("doctor")
    return {name: text for name, text in found.items() if name != RULE_CHECK} if isinstance(found, dict) else {}


def untrained_of(records: Iterable[Record]) -> dict[str, tuple[int, str]]:
    """Return the methods whose rules left parameters without a gradient: number of records, and the first finding."""
    counted: dict[str, tuple[int, str]] = {}
    for record in records:
        found = record.environment.get("doctor")
        if isinstance(found, dict) and RULE_CHECK in found:
            count, first = counted.get(record.cell.method, (0, _text(found[RULE_CHECK])))
            counted[record.cell.method] = (count + 1, first)
    return counted


def _is_common(name: str, environments: Sequence[dict[str, Any]]) -> bool:
    texts = {json.dumps(fields[name], sort_keys=True) if name in fields else None for fields in environments}
    return len(texts) == 1 and None not in texts


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
