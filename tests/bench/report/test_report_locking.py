"""Update locking, compared with fractions computed by hand from small traces."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_builder import in_a_row, made_trace

from bench.analysis.locking import ModuleWait, step_seconds, waiting_share, waits_by_module
from bench.store.measurements.trace import Trace


def waits(trace: dict[str, Any]) -> list[ModuleWait]:
    return waits_by_module(Trace.model_validate(trace))


def test_backpropagation_locks_the_first_module_while_later_modules_run() -> None:
    trace = in_a_row(("f", 1), ("f1", 1), ("f2", 1), ("b2", 2), ("b1", 2), ("b", 1), ("s", 2))
    assert waits(trace) == [ModuleWait(1, 7 / 10, 3 / 10), ModuleWait(2, 5 / 10, 0)]


def test_a_local_rule_locks_no_module() -> None:
    trace = in_a_row(("f1", 1), ("b1", 2), ("f2", 1), ("b2", 2), ("s", 2))
    assert waits(trace) == [ModuleWait(1, 3 / 8, 0), ModuleWait(2, 6 / 8, 0)]


def test_time_in_which_a_module_computes_is_not_locked() -> None:
    micro_batches = in_a_row(*[("f1", 1), ("f2", 1), ("b2", 1), ("b1", 1)] * 2, ("s", 2))
    assert waits(micro_batches) == [ModuleWait(1, 8 / 10, 4 / 10), ModuleWait(2, 7 / 10, 2 / 10)]


def test_a_trace_without_module_numbers_has_no_waits() -> None:
    assert waits(in_a_row(("f", 1), ("b", 2), ("s", 1))) == []


def test_a_module_without_a_backward_pass_is_left_out() -> None:
    assert [wait.module for wait in waits(in_a_row(("f1", 1), ("f2", 1), ("b2", 1), ("s", 1)))] == [2]


def test_steps_are_separated_at_the_optimizer_of_each_rank() -> None:
    step = [("f1", 1), ("w", 2), ("b1", 2), ("s", 1)]
    first = in_a_row(*step, *step, steps=2)
    second = in_a_row(("w", 1), ("f2", 1), ("b2", 2), ("s", 1), ("w", 2), ("f2", 1), ("b2", 2), ("s", 2), rank=1)
    both = {name: first[name] + second[name] for name in first if name != "steps"} | {"steps": 2}
    trace = Trace.model_validate(both)
    assert step_seconds(trace) == 6
    # Rank 1 ends its first step at 5 s. The gradients of module 2 are complete at 4 s and 10 s.
    assert waits_by_module(trace) == [ModuleWait(1, 5 / 6, 2 / 6), ModuleWait(2, pytest.approx(4.5 / 6), 0)]
    assert waiting_share(trace) == pytest.approx((4 + 3) / 24)


def test_releasing_old_gradients_belongs_to_the_step_that_it_starts() -> None:
    step = [("w", 1), ("s", 1), ("w", 1), ("f1", 1), ("b1", 1), ("s", 1)]
    trace = in_a_row(*step, *step, ("w", 3), steps=2)
    assert waits(trace) == [ModuleWait(1, 5 / 7.5, 0)]


def test_steps_that_cannot_be_separated_have_no_waits() -> None:
    assert waits(in_a_row(("f1", 1), ("b1", 1), ("f1", 1), ("b1", 1), ("s", 1), steps=2)) == []


def test_a_trace_without_waiting_spans_has_no_waiting_share() -> None:
    assert waiting_share(Trace.model_validate(in_a_row(("f1", 1), ("b1", 1)))) is None


SPANS = st.lists(
    st.tuples(st.sampled_from(["f1", "f2", "f3", "b1", "b2", "b3", "f", "b", "s"]), st.floats(0.001, 10)), min_size=1
)


@given(SPANS)
def test_locked_time_ends_with_the_gradient_and_within_the_step(spans: list[tuple[str, float]]) -> None:
    for wait in waits(in_a_row(*spans)):
        assert -1e-9 <= wait.locked <= wait.complete <= 1 + 1e-9


def test_step_time_is_the_length_of_the_trace_divided_by_its_steps() -> None:
    assert step_seconds(Trace.model_validate(made_trace((0, None, "f", 0.0, 2.0), steps=4))) == 0.5
