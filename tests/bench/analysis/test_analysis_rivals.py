"""Who is ahead at which bytes, compared with its definition and with examples by hand."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.rivals import FAMILIES, Family, Point, clauses, curve, family_of, stretches
from bench.analysis.statistics.estimate import Interval


def point(family: Family, size: float, time: float, half: float = 0.02, processes: int = 5) -> Point:
    return Point(f"{family} {size} {time}", family, size, time, Interval(time - half, time + half), processes > 1)


POINTS = st.lists(
    st.builds(
        point,
        st.sampled_from(FAMILIES),
        st.integers(1, 30).map(lambda size: size / 20),
        st.integers(50, 200).map(lambda time: time / 100),
        st.sampled_from([0.0, 0.05, 0.2]),
        st.sampled_from([1, 5, 5, 5]),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda one: (one.family, one.size, one.time),
)


def ahead_at(points: list[Point], budget: float) -> Family | None:
    """The definition: the fastest way of each family that fits, by intervals that do not overlap."""
    best = {}
    for family in FAMILIES:
        fitting = [one for one in points if one.family == family and one.size <= budget]
        if fitting:
            best[family] = min(fitting, key=lambda one: (one.time, one.size))
    if len(best) == 1:
        (alone,) = best
        return alone
    bp, sid = best["bp"], best["sid"]
    if not bp.is_repeated or not sid.is_repeated:
        return None
    return "sid" if sid.interval.high < bp.interval.low else "bp" if bp.interval.high < sid.interval.low else None


@given(POINTS)
def test_stretches_cover_every_budget_and_follow_the_definition(points: list[Point]) -> None:
    found = stretches(points)
    assert found[0].low == min(one.size for one in points)
    assert math.isinf(found[-1].high)
    assert all(one.high == following.low for one, following in pairwise(found))
    for stretch in found:
        for budget in {stretch.low, *(one.size for one in points if stretch.low <= one.size < stretch.high)}:
            assert ahead_at(points, budget) == stretch.ahead
    states = [(stretch.ahead, len(stretch.best)) for stretch in found]
    assert all(one != following for one, following in pairwise(states))
    assert len(clauses(points)) == len(found)


@given(POINTS)
def test_a_curve_holds_what_no_other_way_of_its_family_beats(points: list[Point]) -> None:
    for family in FAMILIES:
        own = [one for one in points if one.family == family]
        found = curve(points, family)
        for one in own:
            beaten = any(other.size <= one.size and other.time <= one.time and other != one for other in own)
            assert (one in found) == (not beaten)
        assert [one.size for one in found] == sorted(one.size for one in found)


def test_each_stretch_is_told_with_its_numbers() -> None:
    points = [
        point("bp", 1.0, 1.0),
        point("bp", 0.3, 1.1),
        point("bp", 0.1, 1.6),
        point("sid", 0.3, 0.85),
        point("sid", 0.2, 1.62),
    ]
    assert clauses(points) == [
        "from 10.0 % of BP's bytes to 20.0 % only BP fits (time 1.60)",
        "from 20.0 % of BP's bytes to 30.0 % it is undecided (SID 1.62, BP 1.60)",
        "from 30.0 % of BP's bytes on SID is faster (0.85 against 1.10)",
    ]
    assert clauses([point("bp", 1.0, 1.0), point("sid", 1.0, 1.3)]) == [
        "from 100 % of BP's bytes on BP is faster (1.00 against 1.30)"
    ]


def test_budgets_are_told_apart() -> None:
    points = [point("bp", 0.16401, 1.0), point("sid", 0.16404, 0.5)]
    assert clauses(points)[0] == "from 16.401 % of BP's bytes to 16.404 % only BP fits (time 1.00)"


def test_one_process_decides_nothing() -> None:
    points = [point("bp", 1.0, 1.0), point("sid", 1.0, 0.5, processes=1)]
    (stretch,) = stretches(points)
    assert stretch.ahead is None
    assert clauses(points) == ["from 100 % of BP's bytes on it is undecided (SID 0.50, BP 1.00; 1 process)"]


def test_controls_and_peers_belong_to_neither_family() -> None:
    assert {family_of(name) for name in ("bp", "bp-budget", "bp-plain", "bp-checkpoint")} == {"bp"}
    assert {family_of(name) for name in ("sid-streamed", "sid-vectorised", "sid-streamed-recompute")} == {"sid"}
    others = ("bp-label-smoothing", "bp-gce", "deep-supervision", "dgl", "sid-target", "bp-gpipe", "of.somebody:rule")
    assert {family_of(name) for name in others} == {None}
