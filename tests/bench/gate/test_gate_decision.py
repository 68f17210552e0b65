"""What the gate decides from records: bytes exactly, times by intervals, and what it says where it cannot tell."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_builder import make_record

from bench.analysis.gate import FOUND_PERCENT, confirmed, decide
from bench.config.methods import BASELINE, FIXED_WORK
from bench.report.gate import alarm_rows, headline, said
from bench.store.file import read_records
from bench.store.record import Record

REPEATED = sorted((Path(__file__).parents[3] / "results" / "reference" / "repeat-default").glob("*.jsonl"))
CELL = {"dataset": "random", "depth": 2, "modules": 2, "passes": ["memory", "latency"], "processes": 10}
METHODS = ("sid-published", "sid-streamed", "sid-vectorised", FIXED_WORK)
HERE = {"cpu": "a test's", "torch": "2.14.1", "commit": "abc"}


def run(
    seed: int = 0,
    ratios: dict[str, float] | None = None,
    memory: dict[str, int] | None = None,
    spread: float = 0.02,
    environment: dict[str, Any] = HERE,
    **fields: Any,
) -> list[Record]:
    """The records of one run, whose ratios to BP vary by ``spread`` between processes."""
    generator = np.random.default_rng(seed)
    records = [make_record(CELL | {"method": BASELINE}, 1000, environment=environment)]
    for method in METHODS:
        ratio = (ratios or {}).get(method, 1.2)
        shifts = ratio * np.exp(spread * generator.standard_normal(10))
        blocks = [[(0.01 * shift, 0.01, 0.01, 0.01 * shift)] * 4 for shift in shifts]
        latency = (ratio, 0.99 * ratio, 1.01 * ratio)
        size = (memory or {}).get(method, 1000)
        cell = CELL | {"method": method}
        records.append(make_record(cell, size, latency, blocks=blocks, environment=environment, **fields))
    return records


def alarmed(baseline: list[Record], head: list[Record], base: list[Record] | None = None) -> set[tuple[str, str]]:
    """The quantities and the methods of the alarms."""
    return {(alarm.quantity, alarm.cell.partition(",")[0]) for alarm in decide(baseline, head, base).alarms}


def test_unchanged_code_raises_no_alarm() -> None:
    decisions = [decide(run(2 * seed), run(2 * seed + 1)) for seed in range(20)]
    assert [decision.alarms for decision in decisions] == [[]] * 20
    assert all(not decision.blind and not decision.unjudged for decision in decisions)


@given(st.sampled_from(METHODS[:3]), st.integers(-999, 5000).filter(bool))
def test_any_other_number_of_bytes_is_an_alarm(method: str, more: int) -> None:
    decision = decide(run(0), run(0, memory={method: 1000 + more}))
    assert {alarm.quantity for alarm in decision.alarms} == {"activation_bytes", "total_bytes"}
    assert all(alarm.cell.startswith(f"{method},") for alarm in decision.alarms)
    (shown,) = (row[2] for row in alarm_rows(decision) if row[0] == "activation bytes")
    assert shown == f"1,000 to {1000 + more:,} ({more / 10:+.2f} %)"
    assert "failed: 2 alarms" in headline(decision)


def of_seeds(*sizes: int) -> list[Record]:
    """Records of one cell, of which each seed needs a number of bytes."""
    cell = CELL | {"method": "sid-streamed", "passes": ["memory"]}
    return [make_record(cell | {"seed": seed}, size, environment=HERE) for seed, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ((1001, 1000), "1,000 to 1,001 (+0.10 %)"),
        ((1000, 999), "1,000 to 999 (-0.10 %)"),
        ((1001, 1010), "1,000 to 1,010 (+1.00 %)"),
        ((1001, 900), "1,000 to 1,001 (+0.10 %)"),  # fewer bytes of one seed do not hide more of another
    ],
)
def test_bytes_that_changed_in_one_seed_are_an_alarm_with_both_values(sizes: tuple[int, int], shown: str) -> None:
    decision = decide(of_seeds(1000, 1000), of_seeds(*sizes))
    assert [row[2] for row in alarm_rows(decision) if row[0] == "activation bytes"] == [shown]
    assert {alarm.quantity for alarm in decision.alarms} == {"activation_bytes", "total_bytes"}


def test_bytes_that_differ_between_seeds_but_not_from_the_baseline_are_no_alarm() -> None:
    assert decide(of_seeds(1000, 1010), of_seeds(1000, 1010)).is_open


@pytest.mark.parametrize("method", METHODS[:3])
@pytest.mark.long
def test_ten_per_cent_of_time_more_is_an_alarm_that_names_the_cell(method: str) -> None:
    for seed in range(20):
        head = run(2 * seed + 1, ratios={method: 1.2 * (1 + FOUND_PERCENT / 100)})
        assert alarmed(run(2 * seed), head) == {("step_time", method)}


def test_a_slower_step_of_bp_is_an_alarm_of_bp_alone() -> None:
    slower = dict.fromkeys(METHODS, 1.2 / 1.1)
    assert alarmed(run(0), run(1, ratios=slower)) == {("step_time", "bp")}


def test_a_faster_step_is_none() -> None:
    assert alarmed(run(0), run(1, ratios={"sid-streamed": 1.0})) == set()


def test_a_cell_that_fails_now_is_an_alarm() -> None:
    head = run(1)
    head[2] = make_record(CELL | {"method": "sid-streamed"}, status="oom", message="no memory", environment=HERE)
    assert ("status", "sid-streamed") in alarmed(run(0), head)


def test_cells_that_only_one_side_has_are_alarms() -> None:
    assert alarmed(run(0), run(1)[:-2]) == {("status", "sid-vectorised"), ("status", FIXED_WORK)}
    decision = decide(run(0)[:2], run(1))
    assert {alarm.effect for alarm in decision.alarms} == {"not in the baseline"}
    assert len(decision.alarms) == 3


def test_times_of_another_machine_are_not_judged_without_the_code_before() -> None:
    elsewhere = HERE | {"cpu": "another one"}
    slower = run(1, ratios={"sid-streamed": 2.0}, environment=elsewhere)
    decision = decide(run(0), slower)
    assert decision.is_open
    assert set(decision.unjudged) == {"times"}
    assert any("Times were not judged: the baseline comes from another machine" in line for line in said(decision))
    assert alarmed(run(0), slower, run(2, environment=elsewhere)) == {("step_time", "sid-streamed")}
    assert alarmed(run(0), slower, run(2, ratios={"sid-streamed": 2.0}, environment=elsewhere)) == set()


def test_bytes_of_another_torch_are_not_judged_without_the_code_before() -> None:
    newer = HERE | {"torch": "2.15.0"}
    more = run(1, memory={"sid-streamed": 1010}, environment=newer)
    decision = decide(run(0), more)
    assert decision.is_open
    assert decision.unjudged["bytes"] == "the baseline is of torch 2.14.1, this is 2.15.0"
    found = alarmed(run(0), more, run(2, environment=newer))
    assert found == {("activation_bytes", "sid-streamed"), ("total_bytes", "sid-streamed")}
    assert alarmed(run(0), more, run(2, memory={"sid-streamed": 1010}, environment=newer)) == set()


def test_the_reason_and_the_commit_of_a_baseline_make_no_other_machine() -> None:
    baseline = run(0, environment=HERE | {"commit": "def-dirty", "renewed_because": "of a test"})
    assert decide(baseline, run(1)).unjudged == {}


def test_a_measurement_that_could_miss_the_change_says_so() -> None:
    decision = decide(run(0, spread=0.3), run(1, spread=0.3))
    assert decision.is_open
    assert len(decision.blind) == 4
    assert any(line.startswith("4 times cannot exclude 10 % more") for line in said(decision))
    noisy = decide(run(0), run(1, noisy_because="it drifted"))
    assert noisy.is_open
    assert len(noisy.blind) == 4


def test_bytes_alone_can_be_judged() -> None:
    head = [
        make_record(CELL | {"method": method, "passes": ["memory"]}, 1000, environment=HERE)
        for method in (BASELINE, *METHODS)
    ]
    decision = decide(run(0), head)
    assert decision.is_open
    assert decision.unjudged == {}
    assert decision.blind == []
    assert {change.quantity for change in decision.changes} == {"activation_bytes", "total_bytes"}


def test_an_alarm_of_times_counts_if_both_measurements_have_it() -> None:
    slower = {"sid-streamed": 1.4}
    first = decide(run(0), run(1, ratios=slower))
    assert confirmed(first, decide(run(0), run(2), run(3))).is_open
    both = confirmed(first, decide(run(0), run(2, ratios=slower), run(3)))
    assert [alarm.cell.partition(",")[0] for alarm in both.alarms] == ["sid-streamed"]
    other = decide(run(0), run(2, ratios={"sid-published": 1.4}, memory={"sid-published": 1001}), run(3))
    kept = {alarm.quantity for alarm in confirmed(first, other).alarms}
    assert kept == {"activation_bytes", "total_bytes"}, "bytes need no second measurement"


def _drawn(cells: Sequence[list[Record]], generator: np.random.Generator, factor: float) -> list[list[Record]]:
    """Two runs of 20 processes each, drawn from those that measured runs have; the second with one slower method."""
    sides: list[list[Record]] = [[], []]
    for number, records in enumerate(cells):
        processes: list[np.ndarray] = []
        for record in records:
            assert record.latency is not None
            ends = np.cumsum(record.latency.blocks_by_process)[:-1]
            processes += np.split(np.array(record.latency.blocks_seconds), ends)
        for side, chosen in enumerate(np.split(generator.permutation(len(processes))[:34], 2)):
            own = [processes[place].copy() for place in chosen]
            for blocks in own:
                blocks[:, [0, 3]] *= factor if side and number == 1 else 1.0
            cell = records[0].cell.model_dump() | {"passes": ["latency"], "processes": len(own)}
            sides[side].append(make_record(cell, None, (1.0, 0.9, 1.1), blocks=own, environment=HERE))
    return sides


@pytest.mark.long
def test_on_measured_processes_unchanged_code_is_silent_and_ten_per_cent_are_found() -> None:
    """Processes of seven runs of the suite default, whose blocks are fewer than the gate's, are dealt to two runs."""
    every = sorted(
        (record for file in REPEATED for record in read_records(file).latest.values()), key=lambda record: record.id
    )
    cells = [list(records) for _, records in groupby(every, key=lambda record: record.id)]
    chosen = [
        records
        for records in cells
        if records[0].cell.batch_size == 128
        and records[0].cell.modules == records[0].cell.depth
        and records[0].cell.method in ("sid-streamed", "sid-published")
    ]
    assert len(chosen) == 6
    generator = np.random.default_rng(0)
    draws = 100
    false = sum(bool(decide(*_drawn(chosen, generator, 1.0)).alarms) for _ in range(draws))
    found = sum(bool(decide(*_drawn(chosen, generator, 1.1)).alarms) for _ in range(draws))
    assert false == 0
    assert found >= 0.98 * draws
