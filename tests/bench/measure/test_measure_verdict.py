"""The reliability checks of a latency, in simulations with fixed seeds: steady machines pass, changed ratios fail."""

from collections.abc import Callable

import numpy as np
import pytest
from noise_models import Blocks, contended, drifting, stalling, steady

from bench.analysis.ratio import ratio_of
from bench.analysis.reliability import noisy_because

RUNS = 60
Machine = Callable[[np.random.Generator, int], Blocks]

WELL_BEHAVED: dict[str, Machine] = {
    "jitter": lambda generator, count: steady(generator, count),
    "independent jitter": lambda generator, count: steady(generator, count, autocorrelation=0.0),
    "heavy tails": lambda generator, count: steady(generator, count, heavy_tails=True),
    "stalls": lambda generator, count: stalling(generator, steady(generator, count), 0.02),
    "drift": lambda generator, count: drifting(steady(generator, count), 0.0005),
}


def verdict(blocks: Blocks, is_baseline: bool = False) -> str | None:
    return noisy_because([blocks], ratio_of([blocks]), is_baseline)


@pytest.mark.parametrize(("count", "runs"), [(10, 400), (30, 100)])
@pytest.mark.parametrize("machine", WELL_BEHAVED)
@pytest.mark.long
def test_a_steady_machine_is_rarely_called_noisy(machine: str, count: int, runs: int) -> None:
    alarms = alarms_for_bp = 0
    for seed in range(runs):
        blocks = [WELL_BEHAVED[machine](np.random.default_rng(seed), count)]
        ratio = ratio_of(blocks)
        alarms += noisy_because(blocks, ratio, is_baseline=False) is not None
        alarms_for_bp += noisy_because(blocks, ratio, is_baseline=True) is not None
    assert alarms <= 0.03 * runs
    assert alarms_for_bp <= 0.05 * runs


@pytest.mark.parametrize(("count", "slower", "caught_share"), [(20, 0.2, 0.8), (40, 0.1, 0.6), (60, 0.1, 0.9)])
@pytest.mark.parametrize("comes_to_an_end", [False, True])
def test_a_change_that_biases_the_interval_is_usually_detected(
    count: int, slower: float, caught_share: float, comes_to_an_end: bool
) -> None:
    biased = caught = 0
    for seed in range(RUNS):
        generator = np.random.default_rng(seed)
        first = generator.uniform(0.1, 0.6)
        last = first + generator.uniform(0.3, 0.5) if comes_to_an_end else 1.0
        blocks = contended(steady(generator, count), first, last, slower)
        if ratio_of([blocks]).low > 1:  # the true ratio is 1
            biased += 1
            caught += verdict(blocks) is not None
    assert biased >= 4
    assert caught >= caught_share * biased


def test_drift_common_to_both_steps_does_not_change_the_ratio() -> None:
    for log_rate in (-0.0005, 0.0005):
        ratio = ratio_of([drifting(steady(np.random.default_rng(1), 60, 1.05), log_rate)])
        assert ratio.low <= 1.05 <= ratio.high


def test_each_failed_check_gives_its_reason() -> None:
    blocks = steady(np.random.default_rng(0), 40, 1.2)
    assert verdict(blocks) is None
    assert "BP compared with itself has a ratio of 1." in str(verdict(blocks, is_baseline=True))
    assert verdict(blocks[:6]) == "only 6 blocks ran, fewer than 10"
    wild = blocks.copy()
    wild[::2, [1, 2]] *= 1.6
    wild[::2, [0, 3]] *= 1.6
    assert "the interquartile range of the times of the cell is" in str(verdict(wild))
    assert "the interquartile range of the times of BP is" in str(verdict(wild))
    assert "a segment of the run has a ratio of" in str(verdict(contended(blocks, 0.5, 1.0, 0.3)))


def runs_of(machine: Machine, seed: int, processes: int, blocks: int) -> list[Blocks]:
    generator = np.random.default_rng(seed)
    return [machine(generator, blocks) for _ in range(processes)]


@pytest.mark.parametrize("blocks", [2, 4])
@pytest.mark.parametrize("machine", WELL_BEHAVED)
@pytest.mark.long
def test_five_processes_of_few_blocks_on_a_steady_machine_are_rarely_called_noisy(machine: str, blocks: int) -> None:
    alarms = alarms_for_bp = 0
    for seed in range(200):
        runs = runs_of(WELL_BEHAVED[machine], seed, 5, blocks)
        ratio = ratio_of(runs)
        alarms += noisy_because(runs, ratio, is_baseline=False) is not None
        alarms_for_bp += noisy_because(runs, ratio, is_baseline=True) is not None
    assert alarms == 0
    assert alarms_for_bp <= 0.05 * 200


@pytest.mark.parametrize("blocks", [2, 4])
def test_step_times_that_spread_within_short_processes_are_named(blocks: int) -> None:
    def wild(generator: np.random.Generator, count: int) -> Blocks:
        spread: Blocks = steady(generator, count) * np.exp(0.6 * generator.standard_normal((count, 4)))
        return spread

    found = [str(noisy_because(runs := runs_of(wild, seed, 5, blocks), ratio_of(runs), False)) for seed in range(50)]
    assert sum("the interquartile range of the times of BP is" in text for text in found) >= 45
    assert all("within processes" in text for text in found if text != "None")


def test_a_slow_process_is_no_spread_within_processes() -> None:
    """A state of the machine that lasts for a whole process widens the interval instead."""
    runs = runs_of(WELL_BEHAVED["jitter"], 0, 5, 4)
    runs[2] = 1.9 * runs[2]
    assert noisy_because(runs, ratio_of(runs), is_baseline=False) is None


@pytest.mark.parametrize(
    ("counts", "because"),
    [
        ((2, 2, 2, 2, 2), None),
        ((4, 4, 4), None),
        ((10, 1), "only 1 block ran in process 2 of 2, fewer than 2"),
        ((2, 2, 2, 2), "only 8 blocks ran in 4 processes, fewer than 10"),
        ((4, 4), "only 8 blocks ran in 2 processes, fewer than 10"),
        (
            (1, 2, 2),
            "only 5 blocks ran in 3 processes, fewer than 10; only 1 block ran in process 1 of 3, fewer than 2",
        ),
        ((1,), "only 1 blocks ran, fewer than 10"),
    ],
)
def test_blocks_are_counted_over_all_processes_and_in_each(counts: tuple[int, ...], because: str | None) -> None:
    runs = [steady(np.random.default_rng(seed), count) for seed, count in enumerate(counts)]
    assert noisy_because(runs, ratio_of(runs), is_baseline=False) == because


def test_the_reason_names_the_process_in_which_the_ratio_changed() -> None:
    runs = [steady(np.random.default_rng(seed), 40) for seed in range(3)]
    runs[1] = contended(runs[1], 0.5, 1.0, 0.2)
    because = str(noisy_because(runs, ratio_of(runs), is_baseline=False))
    assert because.startswith("a segment of the run has a ratio of")
    assert because.endswith("in process 2 of 3")


def test_blocks_without_jitter_are_not_noisy() -> None:
    assert verdict(np.full((12, 4), 0.01), is_baseline=True) is None
