"""Benchmarks of the steps: the suite gate, one benchmark for each of its cells.

The steps are timed in processes of their own, as every suite is. A benchmark's numbers are ratios to BP, one per
process, and a second stands for a ratio of 1. pytest-benchmark chooses the unit of its table by the smallest number;
``--benchmark-time-unit=s`` shows the ratios themselves. So ``--benchmark-autosave``, ``--benchmark-json`` and
``--benchmark-compare`` hold ratios that can be compared between two days. ``extra_info`` has the exact bytes, which
pytest-benchmark records, and does not compare.

With ``--gate`` everything is measured in full and judged by :func:`bench.execute.gate.run_gate`, as ``make gate`` does;
without, a short run records the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.gate import Decision
from bench.config.cell import Cell
from bench.config.methods import FIXED_WORK
from bench.config.sweep import load_sweep
from bench.execute.code import measure_code
from bench.execute.gate import BASELINE_FILE, SUITE, TOP, Gate, run_gate
from bench.store.file import read_records
from bench.store.record import Record

SHORT = ["--only", "seed=0", "--processes", "2", "--set", "latency_seconds=0.02"]
CELLS = [cell for cell in load_sweep(SUITE, only=["seed=0"]).cells if cell.method != FIXED_WORK]


def name_of(cell: Cell) -> str:
    return f"{cell.network}-{cell.method}{'' if cell.recompute == 'none' else '-recompute'}"


@dataclass(frozen=True)
class Measured:
    """The records of a run, and what the gate decided; None where nothing is judged."""

    records: Sequence[Record]
    decision: Decision | None

    def of(self, cell: Cell) -> list[Record]:
        return [record for record in self.records if name_of(record.cell) == name_of(cell)]


@dataclass
class RatioClock:
    """A timer for pytest-benchmark that advances by a ratio where time passes."""

    now: float = 0.0
    ratios: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def advance(self) -> None:
        self.now += self.ratios.pop(0)


CLOCK = RatioClock()


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("gate")
    if not request.config.getoption("--gate"):
        measure_code(TOP, SUITE, folder / "head.jsonl", SHORT)
        return Measured(list(read_records(folder / "head.jsonl").latest.values()), None)
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", end="", flush=True)

    decision = run_gate(Gate(baseline=BASELINE_FILE, folder=folder / "runs"), tell)
    return Measured(list(read_records(Path(folder / "runs" / "head.jsonl")).latest.values()), decision)


@pytest.mark.parametrize("cell", CELLS, ids=name_of)
@pytest.mark.benchmark(timer=CLOCK, group="ratio to BP")
def test_step(benchmark: Any, measured: Measured, cell: Cell) -> None:
    records = measured.of(cell)
    assert {record.status for record in records} == {"ok"}
    CLOCK.ratios = [ratio for record in records for ratio in ratios_of(record)]
    if not benchmark.disabled:
        benchmark.extra_info |= {
            "ratios_to_bp": list(CLOCK.ratios),
            "peak_activation_bytes": records[0].memory.peak_activation_bytes if records[0].memory else None,
            "peak_total_bytes": records[0].memory.peak_total_bytes if records[0].memory else None,
            "noisy_because": [record.latency.noisy_because for record in records if record.latency],
        }
    benchmark.pedantic(CLOCK.advance, rounds=len(CLOCK.ratios))
    if measured.decision is not None:
        alarms = [alarm.text for alarm in measured.decision.alarms if is_of(alarm.cell, cell)]
        assert not alarms, "\n".join(alarms)


def test_the_gate_is_open(measured: Measured) -> None:
    """Also where an alarm is of no benchmark above, such as a cell that only the baseline has."""
    if measured.decision is None:
        pytest.skip("nothing is judged without --gate")
    assert measured.decision.is_open, "\n".join(alarm.text for alarm in measured.decision.alarms)


def ratios_of(record: Record) -> list[float]:
    """The median ratio to BP in each process."""
    assert record.latency is not None
    blocks = np.log(np.array(record.latency.blocks_seconds))
    ratios = (blocks[:, [0, 3]] - blocks[:, [1, 2]]).mean(axis=1)
    ends = np.cumsum(record.latency.blocks_by_process)[:-1]
    return [float(np.exp(np.median(part))) for part in np.split(ratios, ends)]


def is_of(text: str, cell: Cell) -> bool:
    """Whether a comparison's text names ``cell``."""
    parts = text.split(", ")
    return parts[:2] == [cell.method, cell.network] and ("recompute modules" in parts) == (cell.recompute != "none")
