"""Traces: spans in the order of the rule, no effect on the step, and consistent columns."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.config.check import make_cell
from bench.measure.trace.recorder import Span, TraceRecorder, merge_traces, trace_step
from bench.store.measurements.trace import Trace
from bench.train.step import TrainingStep, build_step
from sid_core.phases import enter
from sid_core.steps.closed_form import has_closed_form

BATCH = (torch.rand(8, 1, 8, 8), torch.arange(8))
# The phases of modules, without spans that belong to no module.
ORDERS = {
    "bp": "f1 f2 f3 b3 b2 b1",
    "bp-checkpoint": "f1 f2 f3 b3 b2 b1",
    "bp-plain": "f1 f2 f3 b3 b2 b1",
    "bp-microbatch": "f1 f2 f3 b3 b2 b1 " * 4,
    "bp-bootstrap": "f1 f2 f3 b3 b2 b1",
    "bp-gce": "f1 f2 f3 b3 b2 b1",
    "bp-sce": "f1 f2 f3 b3 b2 b1",
    "bp-forward-true": "f1 f2 f3 b3 b2 b1",
    "bp-elr": "f1 f2 f3 b3 b2 b1",
    "deep-supervision": "f1 f2 f3 b3 b2 b1",
    "sid-published": "f1 f2 f3 f1 f2 f3 b3 b2 b1",
    "sid-streamed-autograd": "f1 b1 f2 b2 f3 b3",
    "sid-streamed": "f1 b1 f2 b2 f3 b3",
    "sid-vectorised": "",
}
CASES = [
    (method, network)
    for network in ("cascade-linear", "pipeline-conv")
    for method in ORDERS
    if method not in {"cascade-linear": ["bp-plain"], "pipeline-conv": ["sid-vectorised"]}[network]
]


def made_step(method: str, network: str = "cascade-linear") -> TrainingStep:
    axes: dict[str, Any] = {"method": method, "network": network, "dataset": "random", "modules": 3, "hidden": 8}
    axes |= {"passes": ["latency"]} | ({"depth": 3} if network == "cascade-linear" else {})
    return build_step(make_cell(axes), (1, 8, 8), 10)


def order(trace: Trace) -> str:
    spans = [f"{letter}{module}" for letter, module in zip(trace.phase, trace.module, strict=True) if module]
    return " ".join(name for name, _ in itertools.groupby(spans))


@pytest.mark.parametrize(("method", "network"), CASES)
def test_a_trace_has_the_order_of_the_rule(method: str, network: str) -> None:
    trace = trace_step(made_step(method, network), *BATCH)
    assert trace is not None
    assert order(trace) == ORDERS[method].strip()
    assert trace.phase[0] == "f"
    assert trace.phase[-1] == "s"
    assert (trace.steps, set(trace.rank), trace.start_seconds[0]) == (1, {0}, 0)
    length = trace.end_seconds[-1]
    covered = sum(end - start for start, end in zip(trace.start_seconds, trace.end_seconds, strict=True))
    assert covered == pytest.approx(length, abs=1e-5)


def test_the_backward_pass_of_the_trunk_belongs_to_no_module() -> None:
    trace = trace_step(made_step("bp"), *BATCH)
    assert trace is not None
    backward = [module for letter, module in zip(trace.phase, trace.module, strict=True) if letter == "b"]
    assert backward[-3:] == [2, 1, None]


@pytest.mark.parametrize(("method", "network"), CASES)
def test_tracing_a_step_changes_no_gradient_and_removes_its_hooks(method: str, network: str) -> None:
    plain, followed = made_step(method, network), made_step(method, network)
    followed.network.load_state_dict(plain.network.state_dict())
    plain(*BATCH)
    has_form = [*map(has_closed_form, followed.network.local_modules)]
    assert all(has_form) == (network == "cascade-linear" and method != "bp-checkpoint")
    with TraceRecorder(followed.network):
        assert [*map(has_closed_form, followed.network.local_modules)] == has_form
        followed(*BATCH)
    for expected, parameter in zip(plain.network.parameters(), followed.network.parameters(), strict=True):
        assert torch.equal(expected, parameter)
    assert "run_module" not in vars(followed.network)
    assert not followed.network.trunk._forward_hooks


def test_a_recorder_removes_its_hooks_after_a_failed_step() -> None:
    step = made_step("bp")
    with pytest.raises(IndexError), TraceRecorder(step.network) as recorder:
        step(BATCH[0], BATCH[1] + 100)
    assert "run_module" not in vars(step.network)
    before = recorder.spans()
    enter("backward", 1)
    assert recorder.spans() == before != []


def test_modules_have_their_number_in_the_whole_network_and_waiting_is_a_span() -> None:
    step = made_step("bp")

    def waits(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
        enter("wait")
        return step.rule(network, images, labels, alpha)

    waiting = TrainingStep(step.network, step.optimizer, waits, 0.5)
    with TraceRecorder(step.network, rank=1, first_module=4) as recorder:
        waiting(*BATCH)
    spans = recorder.spans()
    assert {span.rank for span in spans} == {1}
    assert {span.module for span in spans} == {None, 4, 5, 6}
    assert spans[1].phase == "w"


@given(st.data())
def test_traces_of_ranks_are_merged_on_one_clock(data: st.DataObject) -> None:
    times = st.floats(1e3, 2e3).map(lambda value: round(value, 6))
    ranks = []
    for rank in range(data.draw(st.integers(1, 3))):
        marks = sorted(data.draw(st.sets(times, min_size=2, max_size=6)))
        ranks.append([Span(rank, None, "f", start, end) for start, end in itertools.pairwise(marks)])
    trace = merge_traces(ranks, steps=2)
    assert trace is not None
    spans = [span for rank in ranks for span in rank]
    zero = min(span.start_seconds for span in spans)
    assert trace.steps == 2
    assert trace.rank == [span.rank for span in spans]
    assert trace.start_seconds == pytest.approx([span.start_seconds - zero for span in spans], abs=1e-7)
    assert trace.end_seconds == pytest.approx([span.end_seconds - zero for span in spans], abs=1e-7)


def test_too_many_spans_give_no_trace_and_empty_spans_are_left_out() -> None:
    spans = [Span(0, at % 2, "f", at, at + 1) for at in range(1000)]
    nothing = Span(0, 5, "b", 1000.0, 1000.00000001)
    trace = merge_traces([[*spans, nothing]])
    assert trace is not None
    assert len(trace.phase) == len(trace.module) == 1000
    assert merge_traces([[*spans, Span(0, 1, "f", 1001, 1002)]]) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_a_trace_on_cuda_has_the_order_of_the_rule(method: str) -> None:
    axes = {"method": method, "dataset": "random", "depth": 3, "hidden": 8, "passes": ["latency"], "device": "cuda"}
    images, labels = BATCH
    trace = trace_step(build_step(make_cell(axes), (1, 8, 8), 10), images.cuda(), labels.cuda())
    assert trace is not None
    assert order(trace) == ORDERS[method]
