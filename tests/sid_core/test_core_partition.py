"""How modules are partitioned over ranks, compared with every possible partition."""

from itertools import combinations, pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from torch import nn

from sid_core import LocalModule, ModuleCost, balanced_sizes, fastest_sizes, least_ratio, module_cost, step_time
from sid_core.ranks.partition import even_sizes

costs = st.builds(ModuleCost, *[st.integers(0, 9).map(float)] * 3)


def every_way(count: int, ranks: int) -> list[tuple[int, ...]]:
    """All partitions of ``count`` modules in order, with one or more per rank."""
    return [
        tuple(end - start for start, end in pairwise((0, *cuts, count)))
        for cuts in combinations(range(1, count), ranks - 1)
    ]


def simulated(module_costs: list[ModuleCost], sizes: tuple[int, ...]) -> float:
    """The time of a step, from one clock per rank that is advanced module by module."""
    ends, belief_at, index = [], 0.0, 0
    for size in sizes:
        own = module_costs[index : index + size]
        clock = sum(cost.free for cost in own)
        for cost in own:
            clock = max(clock, belief_at) + cost.locked
            belief_at = clock
        ends.append(clock + sum(cost.backward for cost in own))
        index += size
    return max(ends)


def test_two_ranks_need_six_tenths_of_the_time_of_one() -> None:
    """If backward takes twice as long as forward: with three modules on the first rank and two on the second."""
    five = [ModuleCost(free=0, locked=1, backward=2)] * 5
    assert fastest_sizes(five, 2) == (3, 2)
    assert least_ratio(five, (3, 2)) == pytest.approx(0.6)
    assert least_ratio(five, (2, 3)) == pytest.approx(11 / 15)
    many = [ModuleCost(free=0, locked=1, backward=2)] * 40
    assert least_ratio(many, fastest_sizes(many, 2)) == pytest.approx(0.6)


def test_work_that_needs_no_belief_is_done_while_waiting() -> None:
    free = [ModuleCost(free=1, locked=0, backward=2)] * 6
    assert least_ratio(free, fastest_sizes(free, 2)) == pytest.approx(0.5)
    assert least_ratio(free, fastest_sizes(free, 3)) == pytest.approx(1 / 3)
    assert least_ratio(free, (3, 3), trunk=18) == pytest.approx((18 + 9) / (18 + 18))


@settings(deadline=None, max_examples=150)
@given(st.lists(costs, min_size=1, max_size=7), st.integers(1, 5))
def test_no_other_partition_of_a_cascade_is_faster(module_costs: list[ModuleCost], ranks: int) -> None:
    ranks = min(ranks, len(module_costs))
    sizes = fastest_sizes(module_costs, ranks)
    ways = every_way(len(module_costs), ranks)
    assert sizes in ways
    assert step_time(module_costs, sizes) == min(simulated(module_costs, way) for way in ways)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=7), st.integers(1, 5))
def test_no_other_partition_of_a_pipeline_has_a_cheaper_slowest_rank(stage_costs: list[float], ranks: int) -> None:
    ranks = min(ranks, len(stage_costs))

    def largest(sizes: tuple[int, ...]) -> float:
        ends = [sum(sizes[: rank + 1]) for rank in range(ranks)]
        return max(sum(stage_costs[end - size : end]) for size, end in zip(sizes, ends, strict=True))

    sizes = balanced_sizes(stage_costs, ranks)
    ways = every_way(len(stage_costs), ranks)
    assert sizes in ways
    assert largest(sizes) == min(map(largest, ways))


@settings(deadline=None)
@given(st.data())
def test_even_sizes_are_those_of_stages_of_equal_cost(data: st.DataObject) -> None:
    stages = data.draw(st.integers(1, 40))
    ranks = data.draw(st.integers(1, stages))
    sizes = even_sizes(stages, ranks)
    assert sizes == balanced_sizes([1.0] * stages, ranks)
    assert (len(sizes), sum(sizes)) == (ranks, stages)
    assert sizes == tuple(sorted(sizes))
    assert sizes[-1] - sizes[0] <= 1


def test_the_cost_of_a_local_module_is_its_multiplications_and_its_memory_traffic() -> None:
    cost = module_cost(LocalModule(feature_dim=6, classes=3, hidden=5, layers=2), classes=3)
    number = 12  # the cost of reading or writing one number of a hidden layer
    assert cost.free == 6 * 5 + number * 5
    assert cost.locked == 3 * 5 + 5 * 5 + 5 * 3 + number * (5 * 5 + 4 * 5)
    assert cost.backward == (9 * 5 + 5 * 5 + 5 * 3) + (6 * 5 + 5 * 5 + 5 * 3) + number * 8 * (5 + 5)


def test_the_first_rank_has_more_of_the_authors_modules_than_the_second() -> None:
    wide = [module_cost(LocalModule(128, 10, 1024), 10)] * 16
    assert fastest_sizes(wide, 2) == (9, 7)


def test_no_part_of_another_module_counts_as_free() -> None:
    assert module_cost(nn.Linear(3, 2), classes=2) == ModuleCost(0, 8, 16)


@pytest.mark.parametrize("ranks", [0, -1, 4, True, 1.0])
def test_illegal_ranks_are_refused(ranks: int) -> None:
    for sizes in (
        lambda: fastest_sizes([ModuleCost(1, 1, 1)] * 3, ranks),
        lambda: balanced_sizes([1.0] * 3, ranks),
        lambda: even_sizes(3, ranks),
    ):
        with pytest.raises(ValueError, match=r"ranks = .*; legal: integers from 1 to 3"):
            sizes()
