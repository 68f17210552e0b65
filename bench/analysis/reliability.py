"""Checks of the reliability of a latency ratio, computed from its own blocks."""

import math
from collections.abc import Sequence

import numpy as np

from bench.analysis.ratio import Ratio, Seconds, log_ratios
from bench.analysis.words import counted
from bench.store.measurements.latency import TimedProcess

FEWEST_BLOCKS = 10  # of all processes together
FEWEST_BLOCKS_IN_PROCESS = 2  # a block and its mirror image
_FEWEST_TO_RUN = 4  # in each process, so that a stall does not decide its median
# On an idle machine with two cores, 95 % of the cells of the suite "latency" (240 cells) had an interquartile range
# below 0.07 of their median, and 98 % one below 0.2. With other jobs on the cores, 10 % of the cells were above 0.26.
WIDEST_SPREAD = 0.25
# The largest difference between a segment of the run and the rest, in standard errors. In simulations of machines with
# jitter and with stalls (tests/bench/measure/test_measure_verdict.py) the largest difference over all segments exceeds
# 7 in about 1 % of runs; it usually exceeds 7 when the ratio changed by three times its usual spread.
_LARGEST_DIFFERENCE = 7.0
# The shortest segment, as a fraction of the run. Shorter segments do not change a median, and cannot be distinguished
# from stalls.
_SHORTEST_SEGMENT = 0.3
# On two virtual CPUs the probe read 0.97 or more with a core for each thread, and about 0.55 while they shared one.
LEAST_EFFICIENCY = 0.75
# On two virtual CPUs, threads exchanged data at 0.8 to 1.0 of the speed of one thread, and at about 0.3 while their
# cores were far apart; a step of BP with small layers took 1.8 times as long then.
SLOW_EXCHANGE = 0.6  # of the usual speed in the same cell
MOST_SWITCHES = 10.0  # voluntary ones a step: threads that spin make none, those that sleep one or two an operator
_FEW_SHARED = 0.1  # of the blocks: a process that runs for a moment disturbs as many on any machine
_LEAST_SPREAD = 1e-6  # of log-ratios; a smaller spread is rounding
_NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation, for a normal distribution


def fewest_blocks(processes: int) -> int:
    """Return how many blocks each of so many processes runs at least: an even number, 10 in all, and 4 in each."""
    return 2 * math.ceil(max(FEWEST_BLOCKS / processes, _FEWEST_TO_RUN) / 2)


def noisy_because(
    processes: Sequence[Seconds],
    ratio: Ratio,
    is_baseline: bool,
    timed: Sequence[TimedProcess] = (),
    baseline: str = "BP",
) -> str | None:
    """Return why ``ratio`` is unreliable, as a sentence, or None if no check fails.

    The checks are:

    - Fewer than ten blocks ran in all processes together, or fewer than two in one of them.
    - Step times vary: their interquartile range exceeds a quarter of their median. A process of ten blocks or more is
      judged alone. The few blocks of others are judged together, each step time divided by the median of its process:
      one stall in four step times widens their interquartile range without a change of the machine.
    - The ratio changed: a segment of a process, at least 30 % of its ten blocks or more, has another median log-ratio
      than the rest. The difference between neighbouring blocks gives the standard error, so no separate A/A run is
      needed. Where processes are shorter, a change shows between them, and the interval covers it.
    - The interval of BP compared with itself does not contain 1.
    - The threads did not have a core each, in some blocks or in all of them: the parallel efficiency was too low.
    - The threads exchanged data at two speeds: faster in some blocks than in others.
    - The threads of BP's step waited for each other asleep instead of spinning, as those of OpenMP do once there are
      more of them in the process than CPUs. A rule with threads of its own slows BP beside it so.

    Args:
        processes: the blocks ``[n, 4]`` of each process: seconds per step of (cell, BP, BP, cell).
        ratio: the result of :func:`bench.analysis.ratio.ratio_of` for ``processes``.
        is_baseline: whether the cell is plain BP.
        timed: what else was measured in each process.
        baseline: what the cell is compared with, in the words of the sentence.
    """
    reasons = _too_few(processes)
    for number, blocks in enumerate(processes, start=1):
        if len(blocks) >= FEWEST_BLOCKS:
            where = f" in process {number} of {len(processes)}" if len(processes) > 1 else ""
            reasons += [f"{reason}{where}" for reason in (*_wide_spreads([blocks], baseline), *_changes(blocks))]
    short = [blocks for blocks in processes if FEWEST_BLOCKS_IN_PROCESS <= len(blocks) < FEWEST_BLOCKS]
    within = " within processes" if len(processes) > 1 else ""
    reasons += [f"{reason}{within}" for reason in _wide_spreads(short, baseline)]
    if is_baseline and not ratio.low <= 1 <= ratio.high:
        reasons.append(f"{baseline} compared with itself has a ratio of {ratio}")
    reasons += filter(None, (_shared_cores(timed), _two_speeds(timed), _asleep(timed, baseline)))
    return "; ".join(reasons) or None


def _shared_cores(timed: Sequence[TimedProcess]) -> str | None:
    """Return that blocks ran while threads shared a core; None if they did not, or if nothing was measured."""
    efficiencies = [efficiency for process in timed for efficiency in process.parallel_efficiency or ()]
    shared = sum(efficiency < LEAST_EFFICIENCY for efficiency in efficiencies)
    if shared <= _FEW_SHARED * len(efficiencies):
        return None
    share = "all" if shared == len(efficiencies) else f"{shared} of {len(efficiencies)}"
    return (
        f"{share} blocks ran while the threads did not have a core each: their parallel efficiency was below "
        f"{100 * LEAST_EFFICIENCY:.0f} %"
    )


def _two_speeds(timed: Sequence[TimedProcess]) -> str | None:
    """Return that threads exchanged data at two speeds; None if they did not, or if nothing was measured."""
    speeds = [speed for process in timed for speed in process.exchange_speed or ()]
    if not speeds:
        return None
    usual = float(np.percentile(speeds, 90))  # a single block may be faster by chance
    slow = sum(speed < SLOW_EXCHANGE * usual for speed in speeds)
    if slow <= _FEW_SHARED * len(speeds):
        return None
    return (
        f"the threads exchanged data at two speeds: in {slow} of {len(speeds)} blocks at less than "
        f"{100 * SLOW_EXCHANGE:.0f} % of that in others"
    )


def _asleep(timed: Sequence[TimedProcess], baseline: str) -> str | None:
    """Return that threads of BP's step waited asleep; None if they did not, or if nothing was measured."""
    switches = max((process.bp_usage.voluntary_switches for process in timed if process.bp_usage), default=0.0)
    if switches <= MOST_SWITCHES:
        return None
    return (
        f"threads of {baseline}'s step waited for each other asleep: {switches:.0f} voluntary context switches a step"
    )


def _too_few(processes: Sequence[Seconds]) -> list[str]:
    """Return that too few blocks ran, in all processes together or in one of them."""
    counts = [len(blocks) for blocks in processes]
    reasons = []
    if sum(counts) < FEWEST_BLOCKS:
        where = f" in {len(counts)} processes" if len(counts) > 1 else ""
        reasons.append(f"only {sum(counts)} blocks ran{where}, fewer than {FEWEST_BLOCKS}")
    reasons += [
        f"only {counted(count, 'block')} ran in process {number} of {len(counts)}, fewer than "
        f"{FEWEST_BLOCKS_IN_PROCESS}"
        for number, count in enumerate(counts, start=1)
        if len(counts) > 1 and count < FEWEST_BLOCKS_IN_PROCESS
    ]
    return reasons


def _wide_spreads(processes: Sequence[Seconds], baseline: str) -> list[str]:
    """Return whose step times vary, relative to the median of their process; none without processes."""
    reasons = []
    for name, columns in (("the cell", [0, 3]), (baseline, [1, 2])) if processes else ():
        times = [blocks[:, columns] for blocks in processes]
        low, middle, high = np.percentile(np.concatenate([own / np.median(own) for own in times]), [25, 50, 75])
        if high - low > WIDEST_SPREAD * middle:
            reasons.append(
                f"the interquartile range of the times of {name} is {100 * (high - low) / middle:.0f} % of their "
                f"median, more than {100 * WIDEST_SPREAD:.0f} %"
            )
    return reasons


def _changes(blocks: Seconds) -> list[str]:
    """Return that the ratio changed during the blocks ``[n, 4]`` of one process; empty if it did not."""
    difference, inside, outside = _most_different_segment(log_ratios(blocks))
    if difference <= _LARGEST_DIFFERENCE:
        return []
    return [f"a segment of the run has a ratio of {math.exp(inside):.3f}, the rest {math.exp(outside):.3f}"]


def _most_different_segment(values: Seconds) -> tuple[float, float, float]:
    """Find the segment of ``values`` ``[n]`` that differs most from the rest.

    A segment consists of whole pairs, a block and its mirror image, because the two differ: a step that follows a step
    of the same rule finds its data in the caches. For the same reason the standard error is computed from blocks that
    are two apart.

    Returns:
        The difference in standard errors, the median of the segment, and the median of the rest.
    """
    values = values[: len(values) // 2 * 2]
    count = len(values)
    shortest = max(4, 2 * math.ceil(_SHORTEST_SEGMENT * count / 2))
    most_different = (0.0, 0.0, 0.0)
    if count < 2 * shortest:
        return most_different
    spread = max(_NORMAL_MAD * float(np.median(np.abs(values[2:] - values[:-2]))) / math.sqrt(2), _LEAST_SPREAD)
    for start in range(0, count, 2):
        for end in range(start + shortest, min(count, start + count - shortest) + 1, 2):
            inside = float(np.median(values[start:end]))
            outside = float(np.median(np.concatenate((values[:start], values[end:]))))
            length = end - start
            error = spread * math.sqrt(1 / length + 1 / (count - length))
            most_different = max(most_different, (abs(inside - outside) / error, inside, outside))
    return most_different
