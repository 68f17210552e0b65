"""Runs of one suite as records: which latencies are compared, and what is said of them."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from record_builder import make_record

from bench.analysis.ratio import ratio_of
from bench.analysis.repetition import RepeatedCell, Repetition, repetition
from bench.errors import BenchError
from bench.report.repetition import agreement_rows, to_json, to_markdown, worst_rows
from bench.store.record import Record

PROCESSES = 5


def timed(depth: int, ratio: float, spread: float = 0.02, noisy: str | None = None, **axes: Any) -> Record:
    """A record with an interval of ``spread`` on the log scale to either side, over five processes."""
    latency = (ratio, ratio * math.exp(-spread), ratio * math.exp(spread))
    blocks = [np.full((4, 4), 0.01) for _ in range(PROCESSES)]
    cell = {"method": "sid-streamed", "depth": depth, "passes": ["latency"], "processes": PROCESSES} | axes
    return make_record(cell, latency=latency, noisy_because=noisy, blocks=blocks)


def measured(generator: np.random.Generator, depth: int, between: float, own_processes: int) -> Record:
    """A record of real blocks: 1 % between the 4 blocks of a process, and ``between`` for processes."""
    centres = between * generator.standard_normal(own_processes)
    blocks: list[NDArray[np.float64]] = []
    for centre in centres:
        times = 0.01 * np.exp(0.01 * generator.standard_normal((12 if own_processes == 1 else 4, 4)))
        times[:, [0, 3]] *= math.exp(centre)
        blocks.append(times)
    ratio = ratio_of(blocks)
    cell = {"method": "sid-streamed", "depth": depth, "passes": ["latency"], "processes": own_processes}
    return make_record(cell, latency=(ratio.value, ratio.low, ratio.high), blocks=blocks)


def repeated(processes: int, runs: int = 7, cells: int = 12) -> Repetition:
    generator = np.random.default_rng(0)
    return repetition(
        [[measured(generator, 4 * (cell + 1), 0.03, processes) for cell in range(cells)] for _ in range(runs)]
    )


def test_five_processes_of_four_blocks_agree() -> None:
    result = repeated(processes=5)
    assert result.clean is not None
    assert result.clean.coverage >= 0.93
    assert result.clean.beyond <= 0.08
    assert result.clean.beyond_by_width <= result.clean.beyond <= result.clean.beyond_by_error
    assert (result.runs, len(result.cells), result.records, result.noisy, result.failed) == (7, 12, 84, 0, 0)


def test_one_process_does_not_agree() -> None:
    result = repeated(processes=1)
    assert result.every.coverage < 0.7
    assert result.every.beyond == result.every.beyond_by_error == result.every.beyond_by_width > 0.3


def test_clean_pairs_are_those_of_which_neither_is_noisy() -> None:
    runs = [
        [timed(4, 1.0), timed(8, 1.0)],
        [timed(4, 1.0), timed(8, 1.0)],
        [timed(4, 2.0, noisy="load"), timed(8, 1.0)],
    ]
    result = repetition(runs)
    assert result.clean is not None
    assert (result.noisy, result.clean.pairs, result.every.pairs) == (1, 4, 6)
    assert (result.clean.beyond, result.every.beyond) == (0, 2 / 6)
    worst, other = result.cells
    assert (worst.cell.depth, worst.noisy, worst.pairs, worst.beyond, worst.ratios) == (4, 1, 3, 2, (1.0, 1.0, 2.0))
    assert other.beyond == 0


def test_bp_compared_with_itself_is_told_apart() -> None:
    runs = [[timed(4, 1.0, method="bp"), timed(4, ratio)] for ratio in (1.0, 2.0)]
    result = repetition(runs)
    assert result.clean is not None
    assert result.clean_without_bp is not None
    assert (result.clean.beyond, result.clean_without_bp.beyond) == (1 / 2, 1)
    assert repetition([[timed(4, 1.0, method="bp")]] * 2).clean_without_bp is None


def test_records_without_a_latency_are_counted() -> None:
    failed = make_record({"depth": 8, "passes": ["latency"]}, status="oom")
    other = make_record({"passes": ["memory"]}, 1000)
    result = repetition([[timed(4, 1.0), failed, other], [timed(4, 1.1), failed, other]])
    assert (result.records, result.failed, len(result.cells)) == (2, 2, 1)


def test_a_cell_that_a_run_lacks_has_no_ratio_there() -> None:
    result = repetition([[timed(4, 1.0)], [], [timed(4, 1.1), timed(8, 1.0)]])
    (cell,) = result.cells
    assert cell.ratios == (1.0, None, 1.1)
    assert "1.000, -, 1.100" in worst_rows(result)[1]


def test_noisy_runs_only_have_no_clean_share() -> None:
    result = repetition([[timed(4, 1.0, noisy="load")]] * 2)
    assert result.clean is None
    assert agreement_rows(result)[1] == ["intervals", "-", "-", "2"]


@pytest.mark.parametrize("runs", [[], [[]], [[timed(4, 1.0)]], [[timed(4, 1.0)], [timed(8, 1.0)]]])
def test_runs_without_a_common_latency_are_refused(runs: list[list[Record]]) -> None:
    with pytest.raises(BenchError, match="no cell has a latency in two of"):
        repetition(runs)


def test_a_strange_interval_is_named() -> None:
    strange = make_record({"passes": ["latency"]}, latency=(1.0, 0.0, 1.5))
    with pytest.raises(BenchError, match=r"ratio 1.0 \[0.0, 1.5\]"):
        repetition([[strange], [strange]])


def test_both_files_say_the_same() -> None:
    result = repetition([[timed(4, ratio), timed(8, 1.0)] for ratio in (1.0, 1.5)])
    content = json.loads(to_json(result, ["a.jsonl", "b.jsonl"]))
    assert content["clean"] == content["every"]
    assert content["every"]["beyond"] == 0.5
    assert [(cell["ratios"], cell["beyond"], cell["pairs"]) for cell in content["cells"]] == [
        ([1.0, 1.5], 1, 1),
        ([1.0, 1.0], 0, 1),
    ]
    assert content["files"] == ["a.jsonl", "b.jsonl"]
    page = to_markdown(result, content["files"])
    assert "| intervals | 4 | 4 | 4 |" in page
    assert "z by Welch's t test (aim: 8 % or fewer) | 50.0 % | 50.0 % | 50.0 % |" in page
    assert "| 1 of 1 | 0 | 1.000, 1.500 | sid-streamed" in page
    assert "- `a.jsonl`" in page


@given(st.permutations(range(4)), st.lists(st.floats(0.5, 2), min_size=8, max_size=8))
def test_the_order_of_runs_and_records_does_not_matter(order: list[int], ratios: list[float]) -> None:
    runs = [[timed(4, ratios[2 * run]), timed(8, ratios[2 * run + 1])] for run in range(4)]
    straight, mixed = repetition(runs), repetition([runs[index][::-1] for index in order])
    assert mixed.every.coverage == straight.every.coverage
    assert mixed.every.beyond == straight.every.beyond

    def counted(cells: tuple[RepeatedCell, ...]) -> set[tuple[int, int]]:
        return {(cell.cell.depth, cell.beyond) for cell in cells}

    assert counted(mixed.cells) == counted(straight.cells)
