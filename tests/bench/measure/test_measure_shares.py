"""Times of the phases of a step, with a clock that only the tested code advances, and of real steps."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.check import make_cell
from bench.measure.latency.shares import measure_shares
from bench.train.step import TrainingStep, build_step
from sid_core.phases import enter


class FakeTime:
    """A clock that advances only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds


class SlowBackward(torch.autograd.Function):
    """The identity, with a slow backward pass."""

    @staticmethod
    def forward(context: Any, values: Tensor, clock: FakeTime, seconds: float) -> Tensor:
        context.clock, context.seconds = clock, seconds
        return values.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        context.clock.advance(context.seconds)
        return gradient, None, None


class SlowOptimizer(torch.optim.SGD):
    """Takes 4 s to step and 0.5 s to release gradients."""

    clock: FakeTime

    def step(self, closure: Any = None) -> Any:
        self.clock.advance(4)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.clock.advance(0.5)
        super().zero_grad(set_to_none)


BATCH = (torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, 3]))


def made_step(method: str = "bp", **axes: Any) -> TrainingStep:
    cell = make_cell(
        {"method": method, "dataset": "random", "passes": ["latency"], "depth": 4, "hidden": 8, "width": 8} | axes
    )
    return build_step(cell, (1, 4, 4), 10)


def slow_step(clock: FakeTime, rule: Any) -> TrainingStep:
    network = made_step().network
    optimizer = SlowOptimizer(network.parameters(), lr=0.1)
    optimizer.clock = clock
    return TrainingStep(network, optimizer, rule, None)


def test_the_times_of_the_phases_sum_to_the_time_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime(monkeypatch)

    def rule(network: Any, images: Tensor, _labels: Tensor, _alpha: object) -> Tensor:
        clock.advance(1)
        loss: Tensor = SlowBackward.apply(network.trunk(images).sum(), clock, 2)
        loss.backward()
        clock.advance(0.25)  # work after a backward pass is forward again
        return loss.detach()

    shares = measure_shares(slow_step(clock, rule), *BATCH)
    assert (shares.forward_seconds, shares.backward_seconds, shares.optimizer_seconds) == (1.25, 2, 4.5)
    steps = clock.now / 7.75
    assert steps == int(steps) > 1


def test_a_reported_backward_pass_counts_as_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime(monkeypatch)

    def rule(*_: object) -> Tensor:
        clock.advance(1)
        enter("backward")
        clock.advance(2)
        enter("forward")
        return torch.zeros(())

    shares = measure_shares(slow_step(clock, rule), *BATCH)
    assert (shares.forward_seconds, shares.backward_seconds, shares.optimizer_seconds) == (1, 2, 4.5)


def test_unreported_gradients_computed_by_hand_count_as_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime(monkeypatch)

    def rule(network: Any, *_: object) -> Tensor:
        clock.advance(3)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.zeros(())

    shares = measure_shares(slow_step(clock, rule), *BATCH)
    assert (shares.forward_seconds, shares.backward_seconds, shares.optimizer_seconds) == (3, None, 4.5)


@pytest.mark.parametrize("method", ["bp", "bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed"])
def test_every_part_of_a_real_step_takes_time(method: str) -> None:
    step = made_step(method)
    shares = measure_shares(step, *BATCH)
    assert shares.forward_seconds > 0
    assert shares.backward_seconds is not None
    assert shares.backward_seconds > 0
    assert shares.optimizer_seconds > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_shares_on_cuda_are_device_time(method: str) -> None:
    step = made_step(method, device="cuda")
    images, labels = BATCH
    shares = measure_shares(step, images.cuda(), labels.cuda())
    assert shares.backward_seconds is not None
    assert min(shares.forward_seconds, shares.backward_seconds, shares.optimizer_seconds) > 0
