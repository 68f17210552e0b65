"""Interleaved timing: blocks in which each of several legs runs twice, in some order and then in the reversed one."""

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise

from bench.analysis.reliability import FEWEST_BLOCKS
from bench.measure.clock import Clock, collector_paused
from bench.measure.latency.probe import ParallelProbe
from bench.measure.latency.usage import Usage, per_step, read_usage
from bench.store.sample import Sample

_WARM_UP_SECONDS = 0.2  # of all legs together
_WARM_UP_LIMIT_SECONDS = 1.0
_HALVES_AGREE = 0.1
_LEG_SECONDS = 0.005
_RESOLUTION_SHARE = 0.001  # the clock's resolution as a share of a leg: far below any ratio of interest
_MOST_BLOCKS = 60
# Where the usual number of blocks would take longer than this, fewer are run, and the record says so.
_SLOW_SECONDS = 60.0
_FEWEST_SLOW_BLOCKS = 4

Leg = Callable[[int], object]  # runs its step so many times
Timed = Callable[[], AbstractContextManager[object]]


class LegError(Exception):
    """A leg has raised an exception, which is the cause of this one.

    Attributes:
        leg: its place among the legs; None for BP's.
    """

    def __init__(self, leg: int | None) -> None:
        super().__init__(f"leg {leg}")
        self.leg = leg


@contextmanager
def causes_of_leg_errors() -> Iterator[None]:
    """Raises what a leg has raised in place of the :class:`LegError`."""
    try:
        yield
    except LegError as error:
        raise (error.__cause__ or error) from None


def sample_legs(
    legs: Sequence[Leg],
    baseline: Leg,
    clock: Clock,
    seconds: float,
    *,
    loops: int | None = None,
    fewest_blocks: int = FEWEST_BLOCKS,
    order: random.Random | None = None,
    timed: Timed = nullcontext,
    in_this_process: bool = False,
    probe: ParallelProbe | None = None,
) -> list[Sample]:
    """Times ``legs`` and BP's leg in blocks, so that a drift of the machine affects all alike.

    A block runs each leg in some order and then in the reversed one, so any two of them form an ABBA pattern. Blocks
    come in pairs, of which the second starts with the reversed order, so each leg runs equally often at each place of
    a pair and at the place that mirrors it. A leg runs its step several times, so that the clock's resolution is below
    0.1 % of it. Python's garbage collector runs between blocks only.

    Args:
        legs: those of the cells.
        baseline: BP's, which is timed once for all of them.
        clock: for all of them.
        seconds: how long to sample. At least ``fewest_blocks`` are run, or as many as a minute allows and at least 4
            of them; at most 60.
        loops: steps per leg; None: as many as take 5 ms in the fastest of them.
        fewest_blocks: an even number.
        order: chooses the order of each pair of blocks; None: always that of ``legs``, then BP.
        timed: makes the context of all that is timed.
        in_this_process: whether all work of the legs is in this process, so that the kernel's counts are those of the
            legs.
        probe: asked before each block.

    Returns:
        A sample for each of ``legs``, compared with BP.

    Raises:
        LegError: a leg has raised an exception.
    """
    every = [*legs, baseline]
    warm = [_warm_up(every, index, clock, _WARM_UP_SECONDS / len(every)) for index in range(len(every))]
    leg_seconds = max(_LEG_SECONDS, clock.resolution_seconds / _RESOLUTION_SHARE)
    loops = loops or max(1, math.ceil(leg_seconds / min(step_seconds for _, step_seconds in warm)))
    times: list[list[tuple[float, float]]] = [[] for _ in every]  # by leg, both times of each block
    used: list[list[tuple[Usage, Usage]]] = [[] for _ in every]
    efficiency: list[float] = []
    exchange_speed: list[float] = []
    with collector_paused(), timed():
        start = time.perf_counter()
        for block in _orders(len(every), order):
            if _is_enough(len(times[0]), time.perf_counter() - start, seconds, fewest_blocks):
                break
            if probe is not None:
                efficiency.append(probe.efficiency())
                exchange_speed.append(probe.exchange_speed())
            took, usage = _time(clock, every, block, loops)
            by_leg: list[list[float]] = [[] for _ in every]
            for leg, leg_took, before_and_after in zip(block, took, pairwise(usage), strict=True):
                by_leg[leg].append(leg_took)
                used[leg].append(before_and_after)
            for leg, (first, second) in enumerate(by_leg):
                times[leg].append((first, second))
            gc.collect(0)  # frees cycles that the block has left; older objects are not examined
    usages = [per_step(counts, loops) if in_this_process else None for counts in used]
    return [
        Sample(
            blocks_seconds=[(a, b, b2, a2) for (a, a2), (b, b2) in zip(times[leg], times[-1], strict=True)],
            loops=loops,
            warm_up_steps=warm[leg][0] + warm[-1][0],
            usage=usages[leg],
            bp_usage=usages[-1],
            parallel_efficiency=efficiency if probe is not None else None,
            exchange_speed=exchange_speed if probe is not None else None,
        )
        for leg in range(len(legs))
    ]


def leg_of(step: Callable[[], object]) -> Leg:
    """Make a leg that calls ``step`` again and again."""

    def run(loops: int) -> None:
        for _ in range(loops):
            step()

    return run


def _orders(legs: int, order: random.Random | None) -> Iterator[list[int]]:
    """Yield the places of the legs in each block."""
    while True:
        first = list(range(legs))
        if order is not None:
            order.shuffle(first)
        reverse = first[::-1]
        yield first + reverse
        yield reverse + first


def _is_enough(blocks: int, elapsed_seconds: float, seconds: float, fewest: int) -> bool:
    """Whether to stop after so many blocks; never between a block and its mirror image."""
    if blocks % 2:
        return False
    if blocks >= fewest:
        return blocks >= _MOST_BLOCKS or elapsed_seconds >= seconds
    return blocks >= _FEWEST_SLOW_BLOCKS and elapsed_seconds >= max(seconds, _SLOW_SECONDS)


def _time(clock: Clock, legs: Sequence[Leg], order: Sequence[int], loops: int) -> tuple[list[float], list[Usage]]:
    """Seconds a step of each leg, each run ``loops`` times, and the kernel's counts before, between and after them.

    Raises:
        LegError: a leg has raised an exception.
    """
    usage = [read_usage()]
    marks = [clock.mark()]
    for leg in order:
        try:
            legs[leg](loops)
        except Exception as error:
            raise LegError(leg if leg < len(legs) - 1 else None) from error
        marks.append(clock.mark())
        usage.append(read_usage())  # about a microsecond at the start of the next leg
    return [seconds / loops for seconds in clock.seconds_between(marks)], usage


def _warm_up(legs: Sequence[Leg], leg: int, clock: Clock, least_seconds: float) -> tuple[int, float]:
    """Doubles the steps until they take so long and their halves agree; returns the steps run and seconds per step.

    Raises:
        LegError: the leg has raised an exception.
    """
    _time(clock, legs, [leg], 1)  # allocates optimizer state and loads kernels, which the limit is not for
    steps, loops = 1, 1
    give_up = time.perf_counter() + _WARM_UP_LIMIT_SECONDS
    while True:
        (first, second), _ = _time(clock, legs, [leg, leg], loops)
        steps += 2 * loops
        is_stable = abs(first - second) <= _HALVES_AGREE * second and 2 * loops * second >= least_seconds
        if is_stable or time.perf_counter() >= give_up:
            return steps, second
        if 2 * loops * second < least_seconds:
            loops *= 2
