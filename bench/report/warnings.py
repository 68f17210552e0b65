"""What a reader of the report must know before its numbers: on the page, and on the terminal."""

from collections import Counter

from bench.analysis.answer.failures import failure_sentence, without_result
from bench.analysis.instruments import DISAGREEMENT_LIMIT, count_disagreements
from bench.analysis.own_versions import own_versions
from bench.analysis.words import counted
from bench.report.chance import at_chance
from bench.report.environments import count_machines, untrained_of
from bench.report.inputs import Inputs


def warnings_of(inputs: Inputs) -> list[str]:
    """Return the warnings about files, machines and instruments."""
    learned_nothing = at_chance(inputs.measured, inputs.records)
    return [
        *inputs.warnings,
        *_machines(inputs),
        *_instruments(inputs),
        *_failures(inputs),
        *_rules(inputs),
        *_versions(inputs),
        *learned_nothing,
    ]


def drift_of(inputs: Inputs) -> list[str]:
    """Return a sentence for each process and each group in which BP's own step time is not the usual one."""
    times = inputs.times_of_bp
    return [drift.sentence for drift in times.drift()] + [found.sentence for found in times.disagreements()]


def _machines(inputs: Inputs) -> list[str]:
    timed = [record for record in inputs.records if record.latency is not None or record.inference is not None]
    machines = count_machines(timed)
    if machines < 2:
        return []
    return [
        f"The times come from {machines} machines, or configurations of a machine. Absolute times cannot be compared "
        "between them; ratios to BP can, because each was measured within one process."
    ]


def _failures(inputs: Inputs) -> list[str]:
    """Sentences on methods of which no cell has a result."""
    return [
        f"{failure_sentence(method, entries)} It has no result."
        for method, entries in without_result(inputs.provider.entries).items()
    ]


def _rules(inputs: Inputs) -> list[str]:
    """Sentences on rules that leave parameters without a gradient, and on training that diverged."""
    untrained = [
        f"In {counted(count, 'record')} of {method}, {fault}. Bytes and times are those of the rule as it is; check "
        "whether it forgets a gradient."
        for method, (count, fault) in untrained_of(inputs.records).items()
    ]
    diverged = Counter(
        record.cell.method for record in inputs.records if record.accuracy is not None and record.accuracy.diverged
    )
    return untrained + [
        f"In {counted(count, 'record')} of {method}, training diverged: a loss or a divergence is not finite."
        for method, count in diverged.items()
    ]


def _versions(inputs: Inputs) -> list[str]:
    """Sentences on files of a user's own that changed between records."""
    return [
        f"The records come from {len(versions)} versions of {file}: "
        + ", ".join(f"{counted(count, 'record')} from {version}" for version, count in versions.most_common())
        + " (SHA-256)."
        for file, versions in own_versions(inputs.records).items()
        if len(versions) > 1
    ]


def _instruments(inputs: Inputs) -> list[str]:
    differing = count_disagreements(inputs.measured)
    if not differing:
        return []
    return [
        f"In {counted(differing, 'record')}, the allocator's count without workspaces differs from "
        f"the exact count of bytes by more than {100 * DISAGREEMENT_LIMIT:g} %."
    ]
