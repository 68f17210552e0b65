"""Agreement of repeated runs: honest intervals keep their promise, and intervals of one process do not."""

import math
from collections.abc import Hashable

import numpy as np
import pytest

from bench.analysis.statistics.consistency import Consistency, Measured, consistency
from bench.analysis.statistics.units import estimate_over
from bench.errors import BenchError


def simulated(processes: int, runs: int = 8, cells: int = 60, pooled: bool = False) -> Consistency:
    """Repeat a suite: 3 % between processes, 1 % between the 8 blocks of each.

    Args:
        processes: of each cell.
        runs: how often.
        cells: of the suite.
        pooled: take the blocks of all processes for independent, as an interval of one process does.
    """
    generator = np.random.default_rng(0)
    measured = []
    for _ in range(runs):
        run: dict[Hashable, Measured] = {}
        for cell in range(cells):
            centres = 0.03 * generator.standard_normal((processes, 1))
            blocks = centres + 0.01 * generator.standard_normal((processes, 8))
            estimate = estimate_over("processes", blocks.reshape(-1, 1) if pooled else blocks)
            interval = estimate.interval()
            assert interval is not None
            run[cell] = Measured(estimate.value, *interval, math.inf if pooled else processes - 1)
        measured.append(run)
    return consistency(measured)


def test_intervals_over_processes_keep_their_promise() -> None:
    result = simulated(processes=5)
    assert result.intervals == 8 * 60
    assert result.pairs == 60 * 28
    assert result.coverage >= 0.93
    assert result.beyond <= 0.08


def test_pairs_of_honest_intervals_differ_as_often_as_the_docstring_says() -> None:
    result = simulated(processes=5, runs=12, cells=120)
    assert 0.035 <= result.beyond <= 0.05
    assert 0.08 <= result.beyond_by_error <= 0.09
    assert 0.02 <= result.beyond_by_width <= 0.03


@pytest.mark.parametrize(("degrees", "quantile"), [(4, 2.776), (math.inf, 1.96)])
def test_the_standard_error_is_half_the_width_over_the_t_quantile(degrees: float, quantile: float) -> None:
    assert Measured(0.0, -1.0, 1.0, degrees).error == pytest.approx(1 / quantile, rel=1e-3)


@pytest.mark.parametrize(
    ("degrees", "difference", "welch", "by_error", "by_width"),
    [
        (4.0, 1.40, 1, 1, 0),  # t of 8 degrees: 2.75 standard errors, 2.306 is the limit; 0.99 of the joint width
        (4.0, 1.10, 0, 1, 0),
        (4.0, 1.45, 1, 1, 1),
        (4.0, 0.90, 0, 0, 0),
        (math.inf, 1.45, 1, 1, 1),
        (math.inf, 1.40, 0, 0, 0),
    ],
)
def test_the_three_shares_of_pairs(degrees: float, difference: float, welch: int, by_error: int, by_width: int) -> None:
    runs: list[dict[Hashable, Measured]] = [
        {"a": Measured(value, value - 1, value + 1, degrees)} for value in (0, difference)
    ]
    result = consistency(runs)
    assert (result.beyond, result.beyond_by_error, result.beyond_by_width) == (welch, by_error, by_width)


def test_intervals_over_the_blocks_of_one_process_do_not() -> None:
    result = simulated(processes=1, pooled=True)
    assert result.coverage < 0.5
    assert result.beyond > 0.4


def test_shares_of_an_example() -> None:
    runs: list[dict[Hashable, Measured]] = [
        {"a": Measured(0.0, -1, 1), "b": Measured(0.0, -1, 1), "only here": Measured(9.0, 8, 10)},
        {"a": Measured(0.1, -1, 1), "b": Measured(5.0, 4, 6)},
        {"a": Measured(0.2, -1, 1)},
    ]
    result = consistency(runs)
    assert (result.intervals, result.coverage) == (5, 3 / 5)  # the median of b is 2.5, which neither run holds
    assert (result.pairs, result.beyond) == (4, 1 / 4)
    assert result.disagreements == (("b", 1),)
    assert result.sentence == (
        "60 % of 5 intervals hold their cell's grand median, and 25 % of 4 pairs of runs differ by |z| > 1.96 "
        "(Welch's t test)."
    )


def test_the_order_of_runs_does_not_matter() -> None:
    runs: list[dict[Hashable, Measured]] = [{"a": Measured(value, value - 1, value + 1)} for value in (0.0, 2.0, 9.0)]
    assert consistency(runs) == consistency(runs[::-1])


@pytest.mark.parametrize(
    "bad",
    [Measured(math.nan, 0, 1), Measured(0, 0, math.inf), Measured(2, 0, 1), Measured(0, 0, 0), Measured(0, -1, 1, 0.0)],
)
def test_illegal_intervals_are_named(bad: Measured) -> None:
    good = Measured(0, -1, 1)
    with pytest.raises(BenchError, match="run 2, cell a"):
        consistency([{"a": good}, {"a": bad}])


def test_runs_without_a_common_cell_are_refused() -> None:
    for runs in ([], [{"a": Measured(0, -1, 1)}], [{"a": Measured(0, -1, 1)}, {"b": Measured(0, -1, 1)}]):
        with pytest.raises(BenchError, match="no cell is in two"):
            consistency(runs)  # type: ignore[arg-type]
