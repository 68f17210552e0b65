"""The gate: measures the code that is checked out, where needed beside the code of the baseline, and decides."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.analysis.gate import REASON, Decision, confirmed, decide
from bench.config.sweep import load_sweep
from bench.errors import BenchError, ConfigError, StoreError
from bench.execute.code import checked_out, commit_named, is_ancestor, last_change, measure_code
from bench.store.file import Store, read_records
from bench.store.record import Record

SUITE = "gate"
TOP = Path(bench.__file__).parents[1]
BASELINE_FILE = TOP / "results" / "gate" / "baseline.jsonl"

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What to judge.

    Attributes:
        baseline: the committed results file.
        folder: where results go; it holds none of before.
        base: a commit to compare times with; None: the one that has renewed the baseline, where the baseline's own
            times do not serve.
        only: texts ``AXIS=VALUE,VALUE`` that choose cells.
        bytes_only: leave times out.
    """

    baseline: Path
    folder: Path
    base: str | None = None
    only: tuple[str, ...] = ()
    bytes_only: bool = False


def run_gate(gate: Gate, tell: Tell) -> Decision:
    """Measure, and decide.

    Bytes are compared with the baseline. Times are, too, on the machine of the baseline; an alarm has to be confirmed
    by a second measurement, in which the code of the baseline is measured beside this one. On another machine, or with
    another torch, that measurement is the only one.

    Raises:
        BenchError: there is no baseline, a commit that was named is not there, or something cannot be measured.
    """
    baseline = _baseline(gate)
    if gate.base is not None:
        return _beside(gate, baseline, _commit(gate, gate.base), tell)
    head = gate.folder / "head.jsonl"
    tell(f"measuring the code in {TOP}")
    _measure(gate, TOP, head)
    decision = decide(baseline, _records(head))
    if not decision.unjudged and not decision.time_alarms:
        return decision
    for what, why in decision.unjudged.items():
        tell(f"{what} are measured again, beside the code of the baseline: {why}")
    for alarm in decision.time_alarms:
        tell(f"measured again, beside the code of the baseline, because of an alarm: {alarm.text}")
    try:
        second = _beside(gate, baseline, _commit(gate, None), tell)
    except BenchError as error:
        decision.notes.append(f"The code of the baseline could not be measured here: {error}")
        return decision
    return confirmed(decision, second) if decision.time_alarms else second


def renew(gate: Gate, reason: str, tell: Tell) -> Sequence[Record]:
    """Measure the baseline anew and replace its file, with ``reason`` in each record; return the records.

    Raises:
        BenchError: there is no reason, or a cell failed or was timed on a machine that was not quiet; the file is then
            unchanged.
    """
    if len(reason.split()) < 2:
        raise ConfigError(f"a baseline is renewed for the reason {reason!r}; legal: a few words that say why")
    measured = gate.folder / "baseline.jsonl"
    tell(f"measuring the code in {TOP}")
    _measure(gate, TOP, measured)
    records = _records(measured)
    for record in records:
        noisy = None if record.latency is None else record.latency.noisy_because
        if record.status != "ok" or noisy:
            why = noisy or f"{record.status}: {record.message}"
            raise BenchError(f"{gate.baseline} is not renewed: {record.cell.method}, {record.cell.network}: {why}")
    fresh = gate.folder / "renewed.jsonl"
    with Store(fresh) as store:
        for record in records:
            store.append(record.model_copy(update={"environment": {**record.environment, REASON: reason}}))
    gate.baseline.parent.mkdir(parents=True, exist_ok=True)
    fresh.replace(gate.baseline)
    return records


def _baseline(gate: Gate) -> list[Record]:
    """The records of the baseline that are judged, among them always those of cells that the suite no longer has.

    Raises:
        StoreError: the file cannot be read or has no record, or its last line is incomplete, so that a cell would not
            be judged.
    """
    contents = read_records(gate.baseline)
    if contents.damaged_tail:
        raise StoreError(
            f"line {contents.lines} of {gate.baseline}, the last one, is incomplete, so its cell would not be judged; "
            "legal: a whole file, such as the committed one"
        )
    if not contents.latest:
        raise StoreError(f"{gate.baseline} has no record; legal: a baseline, which sid-bench gate --renew REASON makes")
    every = {cell.id for cell in load_sweep(SUITE).cells}
    chosen = {cell.id for cell in load_sweep(SUITE, only=_only(gate)).cells}
    return [record for record in contents.latest.values() if record.id in chosen or record.id not in every]


def _only(gate: Gate) -> list[str]:
    return [*gate.only, "seed=0"] if gate.bytes_only else list(gate.only)


def _measure(gate: Gate, code: Path, results: Path, *more: str) -> None:
    chosen = [word for text in [*_only(gate), *more] for word in ("--only", text)]
    measure_code(code, SUITE, results, [*chosen, *(["--set", "passes=memory"] if gate.bytes_only else [])])


def _commit(gate: Gate, name: str | None) -> str:
    """The commit to compare with: ``name``, or the one that renewed the baseline where that is not older."""
    if name is None:
        return last_change(TOP, gate.baseline)
    commit = commit_named(TOP, name)
    try:
        renewal = last_change(TOP, gate.baseline)
    except BenchError:
        return commit
    return renewal if is_ancestor(TOP, commit, renewal) else commit


def _beside(gate: Gate, baseline: Sequence[Record], commit: str, tell: Tell) -> Decision:
    """Measure the code of ``commit`` and this one in turns: before, now, now, before."""
    files = {side: gate.folder / f"beside-{side}.jsonl" for side in ("base", "head")}
    with _code_of(commit) as before:
        rounds = [("base", 0), ("head", 0)] if gate.bytes_only else [("base", 0), ("head", 0), ("head", 1), ("base", 1)]
        for side, seed in rounds:
            code = before if side == "base" else TOP
            tell(f"measuring {commit[:12] if side == 'base' else f'the code in {TOP}'}, round {seed + 1}")
            _measure(gate, code, files[side], *([] if gate.bytes_only else [f"seed={seed}"]))
    base, head = map(_records, files.values())
    for record in base:
        measured = str(record.environment.get("commit"))
        if not commit.startswith(measured.removesuffix("-dirty")):
            raise BenchError(f"{measured} was measured in place of {commit}, so nothing is compared")
    return decide(baseline, head, base, names=(f"commit {commit[:12]}", "the code now"))


@contextmanager
def _code_of(commit: str) -> Iterator[Path]:
    with checked_out(TOP, commit) as folder:
        if not (folder / "bench" / "config" / "suites" / f"{SUITE}.toml").exists():
            raise BenchError(f"commit {commit[:12]} has no suite {SUITE!r}; legal: a commit that has one")
        yield folder


def _records(file: Path) -> list[Record]:
    return list(read_records(file).latest.values())
