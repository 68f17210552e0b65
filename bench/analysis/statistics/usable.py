"""Which records can be used, and which can be compared with each other."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.analysis.machines import machine_of
from bench.analysis.statistics.comparison import Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.pairing import Entry
from bench.analysis.words import counted
from bench.config.cell import Pass
from bench.config.plugins import is_reference
from bench.store.record import Record

WhyNot = Callable[[Entry], str | None]


def usable_entries(entries: Sequence[Entry], why_not: WhyNot) -> tuple[list[Entry], list[str]]:
    """Return the records that can be used, and the reasons why the others cannot."""
    usable: list[Entry] = []
    reasons: list[str] = []
    for entry in entries:
        reason = _why_not_ok(entry.record) or why_not(entry)
        if reason is None:
            usable.append(entry)
        else:
            reasons.append(reason)
    return usable, reasons


def _why_not_ok(record: Record) -> str | None:
    if record.status == "ok":
        return None
    message = (record.message or "").strip().partition("\n")[0].rstrip(".")
    return f"{record.status}: {message}" if message else record.status


def why_not_together(
    measured_in: Pass, sides: Sequence[Sequence[Entry]], of_one_network: bool, of_one_machine: bool
) -> str | None:
    """Return why records cannot be compared, or None; what they do not say differs from nothing."""
    records = [entry.record for side in sides for entry in side]
    data = [record.data for record in records if record.data is not None]
    if measured_in == "accuracy":
        is_one_set = len({part.identity for part in data}) <= 1
    else:
        is_one_set = len({(part.shape, part.classes) for part in data}) <= 1
    if not is_one_set:
        return "the data differ between records"
    if len({record.layout for record in records} - {None}) > 1:
        return "the layouts of the networks differ"
    # The parameters of a method of somebody's own may include those of a module that it has beside the network.
    counted_alike = [record for record in records if not is_reference(record.cell.method)]
    sizes = sorted({record.parameters for record in counted_alike if record.parameters is not None})
    if of_one_network and len(sizes) > 1:
        return f"the networks differ, from {sizes[0]:,} to {sizes[-1]:,} parameters"
    if of_one_machine and len({machine_of(record) for record in records}) > 1:
        return "the records come from different machines or configurations of a machine"
    return None


def with_note(outcome: Outcome, reasons: Sequence[str]) -> Outcome:
    """Return ``outcome`` with a note on the records that were left out."""
    if not reasons or not isinstance(outcome, Estimate):
        return outcome
    left_out = f"{counted(len(reasons), 'record')} left out ({reasons[0]})"
    return replace(outcome, note="; ".join(filter(None, (outcome.note, left_out))))
