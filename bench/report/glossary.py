"""The terms of a page: their definitions, and which of them the records of the page need."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.analysis.bounds import lower_bound_bytes
from bench.config.check import is_baseline
from bench.store.record import Record

_FILE = Path(__file__).with_name("glossary.toml")


@dataclass(frozen=True)
class Term:
    """A term.

    Attributes:
        name: as the page writes it.
        text: its definition, in sentences, the first of which can stand alone.
        needs: the facts of :func:`facts_of` without which the term is not on a page.
    """

    name: str
    text: str
    needs: frozenset[str]

    @property
    def anchor(self) -> str:
        """The identifier of its definition on the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def summary(self) -> str:
        """The first sentence of its definition."""
        return re.split(r"(?<=[.;:]) ", self.text)[0].rstrip(";:.") + "."


@cache
def glossary() -> dict[str, Term]:
    """Return every term by name, in the order of the file."""
    with _FILE.open("rb") as file:
        entries = tomllib.load(file)["term"]
    terms = (
        Term(entry["name"], " ".join(entry["text"].split()), frozenset(entry.get("needs", ()))) for entry in entries
    )
    return {term.name: term for term in terms}


def terms_for(records: Sequence[Record]) -> tuple[Term, ...]:
    """Return the terms that a page on ``records`` needs."""
    facts = facts_of(records)
    return tuple(term for term in glossary().values() if term.needs <= facts)


def facts_of(records: Iterable[Record]) -> set[str]:
    """Return what the records hold: the names that ``needs`` may list."""
    facts: set[str] = set()
    methods: set[str] = set()
    baselines = False
    for record in records:
        if record.status != "ok":
            continue
        facts |= _facts(record)
        if "bound" not in facts and _has_bound(record):
            facts.add("bound")
        if record.accuracy is not None:
            methods.add(record.cell.method)
            baselines |= is_baseline(record.cell)
    if baselines and len(methods) > 1:
        facts.add("differences")
    return facts


def _has_bound(record: Record) -> bool:
    data = record.data
    if record.memory is None or data is None:
        return False
    return bool(lower_bound_bytes(record.cell, data.shape, data.classes))


def _facts(record: Record) -> set[str]:
    memory, latency, cell = record.memory, record.latency, record.cell
    held = {
        "result": True,
        "memory": memory is not None,
        "categories": memory is not None and memory.at_peak is not None,
        "allocator": memory is not None and memory.allocator is not None,
        "latency": latency is not None,
        "flushed": bool(record.environment.get("denormals_flushed")),
        "phases": latency is not None and latency.shares is not None,
        "efficiency": latency is not None and any(p.parallel_efficiency for p in latency.processes or ()),
        "accuracy": record.accuracy is not None,
        "noise": record.accuracy is not None and cell.noise_kind != "none",
        "trace": record.trace is not None,
        "ranks": record.ranks is not None,
        "inference": record.inference is not None,
        "streamed": cell.method == "sid-streamed-autograd",
        "plain": is_baseline(cell) and cell.modules == 1,
    }
    return {name for name, holds in held.items() if holds}
