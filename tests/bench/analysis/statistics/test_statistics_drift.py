"""Drift of BP's own times: the processes and rounds that differ are named, and no others."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.statistics.drift import find_drift
from bench.errors import BenchError


def steps(generator: np.random.Generator, factor: float = 1.0) -> np.ndarray:
    return 0.0045 * factor * np.exp(0.02 * generator.standard_normal((8, 2)))


def test_a_process_in_the_slow_state_is_named_with_its_group() -> None:
    generator = np.random.default_rng(0)
    groups = {f"depth {depth}": [steps(generator) for _ in range(5)] for depth in (4, 16, 64)}
    groups["depth 16"][2] = steps(generator, 1.84)
    (drift,) = find_drift(groups)
    assert (drift.group, drift.process) == ("depth 16", 3)
    assert drift.factor == pytest.approx(1.84, rel=0.03)
    assert drift.sentence.startswith("depth 16: in process 3 of 5, a step of BP took 1.8")


def test_a_round_in_which_the_machine_was_slow_is_named_once_for_all_groups() -> None:
    generator = np.random.default_rng(0)
    groups = {f"group {g}": [steps(generator, 1.5 if process == 1 else 1) for process in range(5)] for g in range(3)}
    first, *rest = find_drift(groups)
    assert (first.group, first.process) == (None, 2)
    assert "In process 2 of 3 groups" in first.sentence
    assert {(drift.group, drift.process) for drift in rest} == {(group, 2) for group in groups}


def test_a_faster_process_is_named_as_well() -> None:
    (drift,) = find_drift({"g": [[1.0], [1.0], [0.5]]})
    assert (drift.process, drift.factor) == (3, 0.5)


def test_usual_jitter_is_no_drift() -> None:
    alarms = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        groups = {
            f"group {group}": [steps(generator, math.exp(0.02 * generator.standard_normal())) for _ in range(5)]
            for group in range(4)
        }
        alarms += len(find_drift(groups))
    assert alarms <= 5  # of 2,000 processes
    assert find_drift({}) == find_drift({"one": [[1.0]]}) == []


@given(st.floats(0.001, 1000), st.integers(0, 99))
def test_the_unit_of_time_does_not_matter(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    groups = {"a": [steps(generator, 1 + process / 4) for process in range(4)], "b": [steps(generator)] * 2}
    scaled = {group: [scale * process for process in processes] for group, processes in groups.items()}
    assert [drift[:2] for drift in find_drift(scaled)] == [drift[:2] for drift in find_drift(groups)]


@pytest.mark.parametrize("bad", [[], [0.0], [math.nan], [1.0, -1.0]])
def test_illegal_times_are_named(bad: list[float]) -> None:
    with pytest.raises(BenchError, match="group g, process 2"):
        find_drift({"g": [[1.0], bad]})


def test_other_illegal_input_is_named() -> None:
    with pytest.raises(BenchError, match="group g has no process"):
        find_drift({"g": []})
    for threshold in (1.0, 0.9, math.nan, math.inf):
        with pytest.raises(BenchError, match="threshold"):
            find_drift({"g": [[1.0]]}, threshold)
