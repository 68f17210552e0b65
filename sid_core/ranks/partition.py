"""How modules are partitioned over ranks, and the least time that a step can then take.

In a cascade a rank must wait for the belief of the rank before it: forward passes are locked, backward passes are not.
What a module can compute without the belief before it (the part of its first layer that takes features) is free: a rank
does that while it waits. So a step takes as long as its slowest rank, and the first rank, which never waits, can have
more modules than the last. If a backward pass takes twice as long as a forward pass and nothing is free, two ranks take
at least 0.6 of the time of one, and three modules on the first and two on the second reach that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

from torch import nn

from sid_core.network import LocalModule

# The cost of reading or writing one number of a hidden layer, in multiplications, measured on a CPU. By their data
# sheets, GPUs need between this and four times as much.
_PASS = 12


@dataclass(frozen=True)
class ModuleCost:
    """The cost of one module in a step, in any unit of time or work.

    Attributes:
        free: the part of its forward pass that does not need the belief before it.
        locked: the rest of its forward pass.
        backward: its backward pass.
    """

    free: float
    locked: float
    backward: float


def module_cost(module: nn.Module, classes: int) -> ModuleCost:
    """The work of ``module`` per sample, in multiplications, from its shapes.

    For a :class:`sid_core.LocalModule` it counts the products, and how often the hidden layers are read or written, at
    twelve multiplications per number. What the parallel step computes while it waits is most of the multiplications,
    but little of the memory traffic. For any other module the work is estimated from the number of parameters, and
    nothing is free.
    """
    if type(module) is not LocalModule:
        count = sum(parameter.numel() for parameter in module.parameters())
        return ModuleCost(0.0, count, 2.0 * count)
    weights = [parameter for parameter in module.parameters() if parameter.dim() == 2]
    hidden = [_PASS * weight.shape[0] for weight in weights[:-1]]  # reading or writing each hidden layer once
    products = sum(weight.numel() for weight in weights)
    by_features = weights[0].numel() - weights[0].shape[0] * classes
    forward = products - by_features + 5 * hidden[0] + 4 * sum(hidden[1:])  # add, ReLU, and read by the next layer
    # Gradients of all weights, and of all inputs but the first belief.
    backward = 2 * products - weights[0].shape[0] * classes + 8 * sum(hidden)
    return ModuleCost(by_features + hidden[0], forward, backward)


def step_time(costs: Sequence[ModuleCost], sizes: Sequence[int]) -> float:
    """The time of a step in which rank ``r`` runs ``sizes[r]`` modules, in the unit of ``costs``.

    It counts no time for communication, so it is a lower bound of what can be measured.
    """
    arrival = slowest = 0.0
    start = 0
    for size in sizes:
        arrival, end = _run_rank(costs[start : start + size], arrival)
        slowest = max(slowest, end)
        start += size
    return slowest


def least_ratio(costs: Sequence[ModuleCost], sizes: Sequence[int], trunk: float = 0.0) -> float:
    """:func:`step_time` divided by the time on one rank, where every rank also runs the trunk, for ``trunk``."""
    return (trunk + step_time(costs, sizes)) / (trunk + step_time(costs, [len(costs)]))


class _Partition(NamedTuple):
    """The first modules over the first ranks: when the last belief is sent, when the slowest rank ends, the sizes."""

    sent: float
    slowest: float
    sizes: tuple[int, ...]


def fastest_sizes(costs: Sequence[ModuleCost], ranks: int) -> tuple[int, ...]:
    """The number of modules of each rank, 1 or more, in order, for which :func:`step_time` is least.

    Raises:
        ValueError: ``ranks`` is not between 1 and the number of modules.
    """
    count = len(costs)
    _check_ranks(ranks, count)
    # By the number of modules: the partitions over the ranks so far that no other beats in both times.
    best = {0: [_Partition(0.0, 0.0, ())]}
    for ranks_left in reversed(range(ranks)):
        longer: dict[int, list[_Partition]] = {}
        for start, partitions in best.items():
            ends = range(start + 1, count - ranks_left + 1) if ranks_left else [count]
            for end, partition in product(ends, partitions):
                sent, finished = _run_rank(costs[start:end], partition.sent)
                sizes = (*partition.sizes, end - start)
                longer.setdefault(end, []).append(_Partition(sent, max(partition.slowest, finished), sizes))
        best = {end: _undominated(partitions) for end, partitions in longer.items()}
    return min(best[count], key=lambda partition: partition.slowest).sizes


def balanced_sizes(costs: Sequence[float], ranks: int) -> tuple[int, ...]:
    """The number of stages of each rank, 1 or more, in order, for which the rank with the highest cost has least.

    For a pipeline, whose throughput is that of its slowest rank. See :func:`even_sizes` for stages of equal cost.

    Raises:
        ValueError: ``ranks`` is not between 1 and the number of stages.
    """
    _check_ranks(ranks, len(costs))

    @cache
    def best(end: int, ranks: int) -> tuple[float, tuple[int, ...]]:
        """The highest cost of a rank and the sizes, for the first ``end`` stages over ``ranks`` ranks."""
        if ranks == 1:
            return sum(costs[:end]), (end,)
        ways = []
        for cut in range(ranks - 1, end):
            highest, sizes = best(cut, ranks - 1)
            ways.append((max(highest, sum(costs[cut:end])), (*sizes, end - cut)))
        return min(ways, key=lambda way: way[0])

    return best(len(costs), ranks)[1]


def even_sizes(stages: int, ranks: int) -> tuple[int, ...]:
    """The number of stages of each rank if all cost the same; they differ by 1 at most, and later ranks have more.

    Raises:
        ValueError: ``ranks`` is not between 1 and ``stages``.
    """
    _check_ranks(ranks, stages)
    fewest, ranks_with_more = divmod(stages, ranks)
    return (fewest,) * (ranks - ranks_with_more) + (fewest + 1,) * ranks_with_more


def _run_rank(costs: Sequence[ModuleCost], arrival: float) -> tuple[float, float]:
    """When a rank sends its belief and when it ends, if the belief before it arrives at ``arrival``."""
    sent = max(arrival, sum(cost.free for cost in costs)) + sum(cost.locked for cost in costs)
    return sent, sent + sum(cost.backward for cost in costs)


def _undominated(partitions: list[_Partition]) -> list[_Partition]:
    kept: list[_Partition] = []
    for partition in sorted(partitions):
        if not kept or partition.slowest < kept[-1].slowest:
            kept.append(partition)
    return kept


def _check_ranks(ranks: int, modules: int) -> None:
    if isinstance(ranks, bool) or not isinstance(ranks, int) or not 1 <= ranks <= modules:
        raise ValueError(f"ranks = {ranks!r}; legal: integers from 1 to {modules}, the number of modules")
