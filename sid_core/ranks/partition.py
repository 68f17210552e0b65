"""How modules are dealt to ranks, and what that can gain at most.

In a cascade a rank must wait for the belief of the one before it: forward passes are locked, backward passes are not.
What a module can do without the belief before it (the features' share of its first layer) is free: a rank does that
while it waits. So a step over ranks takes as long as its slowest rank, and the first rank, which never waits, can carry
more than the last. With backward twice the forward and nothing free, two ranks take 0.6 of one at best, and reach it
with three modules to two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from sid_core.network import LocalModule

# What it costs to read or write a number of a hidden layer, in multiplications, on the CPU that this was tried on. By
# their data sheets, GPUs lie between this and four times as much.
_PASS = 12


@dataclass(frozen=True)
class ModuleCost:
    """What one module takes in a step, in any one unit of time or work.

    Attributes:
        free: of its forward pass, what does not need the belief before it.
        locked: the rest of its forward pass.
        backward: its backward pass.
    """

    free: float
    locked: float
    backward: float


def module_cost(module: nn.Module, classes: int) -> ModuleCost:
    """The work a sample, in multiplications, by the shapes of ``module``.

    Of a :class:`sid_core.LocalModule` the products are counted, and how often its hidden layers go through memory, each
    number worth a dozen multiplications. The parallel step does the features' share of the first layer while it waits:
    most of the multiplications, but little of the traffic. Of any other module the work is guessed from its number of
    parameters, with nothing free.
    """
    if type(module) is not LocalModule:
        count = sum(parameter.numel() for parameter in module.parameters())
        return ModuleCost(0.0, count, 2.0 * count)
    weights = [parameter for parameter in module.parameters() if parameter.dim() == 2]
    hidden = [_PASS * weight.shape[0] for weight in weights[:-1]]  # one pass through memory of each hidden layer
    products = sum(weight.numel() for weight in weights)
    by_features = weights[0].numel() - weights[0].shape[0] * classes
    forward = products - by_features + 5 * hidden[0] + 4 * sum(hidden[1:])  # add, ReLU, and read by the next layer
    # Gradients of all weights, and of all inputs but the first belief.
    backward = 2 * products - weights[0].shape[0] * classes + 8 * sum(hidden)
    return ModuleCost(by_features + hidden[0], forward, backward)


def step_time(costs: Sequence[ModuleCost], sizes: Sequence[int]) -> float:
    """The time of a step in which rank ``r`` runs ``sizes[r]`` modules, in the unit of ``costs``.

    Handing on and adding up gradients take no time here, so it bounds what can be measured from below.
    """
    arrival = slowest = 0.0
    start = 0
    for size in sizes:
        arrival, end = _run_rank(costs[start : start + size], arrival)
        slowest = max(slowest, end)
        start += size
    return slowest


def least_ratio(costs: Sequence[ModuleCost], sizes: Sequence[int], trunk: float = 0.0) -> float:
    """The bound of a step's time over that on one rank, where every rank runs the trunk for ``trunk`` as well."""
    return (trunk + step_time(costs, sizes)) / (trunk + step_time(costs, [len(costs)]))


def dealt_sizes(costs: Sequence[ModuleCost], ranks: int) -> tuple[int, ...]:
    """How many modules each rank gets, in order, such that :func:`step_time` is least; each gets one at least.

    Raises:
        ValueError: ``ranks`` is not between 1 and the number of modules.
    """
    count = len(costs)
    _check_ranks(ranks, count)
    # By the number of modules dealt: (time of the last belief, time of the slowest rank, sizes), none of which is worse
    # than another in both times.
    dealt: dict[int, list[tuple[float, float, tuple[int, ...]]]] = {0: [(0.0, 0.0, ())]}
    for rank in range(ranks):
        left = ranks - rank - 1
        longer: dict[int, list[tuple[float, float, tuple[int, ...]]]] = {}
        for start, ways in dealt.items():
            ends = range(start + 1, count - left + 1) if left else [count]
            for end in ends:
                for arrival, slowest, sizes in ways:
                    handed_on, finished = _run_rank(costs[start:end], arrival)
                    way = (handed_on, max(slowest, finished), (*sizes, end - start))
                    longer.setdefault(end, []).append(way)
        dealt = {end: _undominated(ways) for end, ways in longer.items()}
    return min(dealt[count], key=lambda way: way[1])[2]


def balanced_sizes(costs: Sequence[float], ranks: int) -> tuple[int, ...]:
    """How many stages each rank gets, in order, such that the rank with most to do has least; for a pipeline.

    A pipeline's throughput is that of its slowest rank: nothing is locked but the first fill.

    Raises:
        ValueError: ``ranks`` is not between 1 and the number of stages.
    """
    _check_ranks(ranks, len(costs))
    done = [0.0, *accumulate(costs)]
    best: list[tuple[float, tuple[int, ...]]] = [(done[end], (end,)) for end in range(len(done))]
    for _ in range(ranks - 1):
        best = [
            min(
                ((max(best[cut][0], done[end] - done[cut]), (*best[cut][1], end - cut)) for cut in range(end)),
                key=lambda way: (way[0], 0 in way[1]),
                default=(float("inf"), (0,)),
            )
            for end in range(len(done))
        ]
    return best[-1][1]


def _run_rank(costs: Sequence[ModuleCost], arrival: float) -> tuple[float, float]:
    """When a rank hands its belief on, and when it is done, if the belief before it arrives at ``arrival``."""
    handed_on = max(arrival, sum(cost.free for cost in costs)) + sum(cost.locked for cost in costs)
    return handed_on, handed_on + sum(cost.backward for cost in costs)


def _undominated(
    ways: list[tuple[float, float, tuple[int, ...]]],
) -> list[tuple[float, float, tuple[int, ...]]]:
    kept: list[tuple[float, float, tuple[int, ...]]] = []
    for way in sorted(ways):
        if not kept or way[1] < kept[-1][1]:
            kept.append(way)
    return kept


def _check_ranks(ranks: int, modules: int) -> None:
    if isinstance(ranks, bool) or not isinstance(ranks, int) or not 1 <= ranks <= modules:
        raise ValueError(f"ranks = {ranks!r}; legal: integers from 1 to {modules}, the number of modules")
