"""Measures what ``sid-bench fit --measure`` compares its predictions with: bytes at two batches, and times at one."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.measured import CUDA_ROUNDS_TO, Measured, kind_of, measured_of
from bench.cli.console import err
from bench.cli.measure import RunSettings, measure
from bench.config.cell import Cell
from bench.config.check import changed
from bench.config.label import label
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.plan.fit.affordable import PROCESSES, batch_for_bytes, batch_for_times, took
from bench.plan.fit.candidates import Candidates
from bench.plan.fit.fitting import plan_all
from bench.plan.grid import lines_of
from bench.plan.rows import Follow
from bench.plan.tasks import Failure
from bench.store.file import read_records
from bench.store.record import Record

_LATENCY_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What measuring may take.

    Attributes:
        seconds: of all measurements together, about.
        memory_bytes: what a step may need, by its prediction.
    """

    seconds: float
    memory_bytes: int


def measure_here(
    candidates: Candidates,
    effort: Effort,
    records_file: Path | None,
    jobs: int | None,
    follow: Follow,
    data_root: Path | None,
) -> list[Measured]:
    """Measure ``candidates``, each in fresh processes, and say on standard error what was measured.

    Bytes are measured at the smallest legal batch of each rule, and at one batch for all rules: the batch in question,
    or the largest that ``effort`` allows. Then all are timed beside BP, at the same batch or a smaller one.

    Args:
        candidates: what to measure.
        effort: what it may take.
        records_file: where the records are appended; None: they are not kept.
        jobs: processes of the plan.
        follow: wraps the plan's answers to show progress.
        data_root: the directory of data sets from files.

    Raises:
        BenchError: no rule could be measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(candidates, records_file or Path(folder) / "fit.jsonl", data_root)
        lines = lines_of(candidates.cells, data_root)
        small = session.measure(lines, 1, ("memory",))
        if not took(small):
            raise BenchError("--measure has measured nothing; the reasons are above")
        batch = min(
            max(cell.batch_size for cell in candidates.cells),
            batch_for_bytes(took(small), effort.seconds / 2),
            session.largest_within(lines, effort.memory_bytes, jobs, follow),
        )
        least = max(line.batch_size for line in lines)
        large = session.measure(lines, batch, ("memory",)) if batch > least else []
        timed_batch = min(batch, batch_for_times(took(large or small), effort.seconds / 2))
        if timed_batch >= least:
            session.measure(lines, timed_batch, ("latency",))
        text = f"bytes were measured at the smallest legal batch and at batch {batch:,}"
        if batch <= least:
            text = "bytes were measured at the smallest legal batch alone: a larger one needs more"
        timing = f"times at batch {timed_batch:,}" if timed_batch >= least else "no times: a step takes too long"
        err.print(f"{text}, {timing} (--measure-seconds {effort.seconds:g})", markup=False, highlight=False)
        return measured_of(session.records)


class _Session:
    """Sweeps into one results file."""

    def __init__(self, candidates: Candidates, path: Path, data_root: Path | None) -> None:
        self._device = candidates.device
        self._path = path
        self._data_root = data_root
        self.records: list[Record] = []

    def measure(self, lines: Sequence[Cell], batch_size: int, passes: Sequence[str]) -> list[Record]:
        """Measure each of ``lines`` at ``batch_size``, or at its smallest legal one if that is larger."""
        values: dict[str, Any] = {"device": self._device, "passes": list(passes)}
        if "latency" in passes:
            values |= {"processes": PROCESSES, "latency_seconds": _LATENCY_SECONDS}
        cells = [changed(line, batch_size=max(batch_size, line.batch_size), **values) for line in lines]
        sweep = Sweep("fit", "What fits.", tuple(dict.fromkeys(cells)))
        settings = RunSettings(
            data_root=self._data_root,
            download=False,
            timeout_seconds=1800.0,
            memory_limit_bytes=None,
            pin=False,
            retries=1,
            retry_failed=True,
            frontier=True,
        )
        measure(sweep, self._path, settings, err)
        latest = read_records(self._path).latest
        found = [latest[cell.id] for cell in sweep.cells]
        for record in found:
            if record.status != "ok":
                err.print(f"{label(record.cell)}: {record.message}", markup=False, highlight=False)
        self.records += found
        return found

    def largest_within(self, lines: Sequence[Cell], memory_bytes: int, jobs: int | None, follow: Follow) -> int:
        """Return the largest batch at which no rule needs more than ``memory_bytes``, by its prediction."""
        round_to = CUDA_ROUNDS_TO if kind_of(self._device) == "cuda" else 1
        answers = plan_all(lines, round_to, dict.fromkeys(lines, (memory_bytes,)), jobs, follow, self._data_root)
        return min((one.largest[0].batch for one in answers.values() if not isinstance(one, Failure)), default=0)
