"""What a listener hears of the phases of a step."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from sid_core import cascade, linear_trunk, published_step, streamed_step, vectorised_step
from sid_core.phases import Phase, enter, enter_backward_at, listen, phase

Heard = list[tuple[Phase, int | None]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What is heard during the test, and nothing after it."""
    phases: Heard = []
    stop = listen(lambda name, module: phases.append((name, module)))
    yield phases
    stop()
    count = len(phases)
    enter("backward")
    with phase("wait"):
        pass
    assert len(phases) == count


def test_after_an_interruption_the_phase_before_goes_on(heard: Heard) -> None:
    enter("forward", 2)
    with phase("wait"), phase("backward", 1):
        pass
    with pytest.raises(KeyError), phase("optimizer"):
        raise KeyError
    assert heard == [
        ("forward", 2),
        ("wait", None),
        ("backward", 1),
        ("wait", None),
        ("forward", 2),
        ("optimizer", None),
        ("forward", 2),
    ]


def test_a_listener_that_comes_later_does_not_hear_of_phases_before() -> None:
    first: Heard = []
    stop = listen(lambda name, module: first.append((name, module)))
    enter("optimizer")
    stop()
    later: Heard = []
    stop = listen(lambda name, module: later.append((name, module)))
    with phase("wait"):
        pass
    stop()
    assert first == [("optimizer", None)]
    assert later == [("wait", None), ("forward", None)]


def test_backward_begins_when_autograd_has_the_gradient_of_an_output(heard: Heard) -> None:
    output = (torch.ones(2, requires_grad=True) * 2).exp()
    enter_backward_at(output, 4)
    enter_backward_at(torch.ones(2), 5)
    assert heard == []
    output.sum().backward()
    assert heard == [("backward", 4)]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (streamed_step, "f1 b1 f2 b2 f"),
        (partial(streamed_step, closed_form=False), "f1 b1 f2 b2 f"),
        (partial(vectorised_step, chunk=1), "b f b f"),
        (vectorised_step, "b f"),
        (published_step, ""),
    ],
)
def test_a_step_tells_its_phases_module_by_module(heard: Heard, step: Any, expected: str) -> None:
    network = cascade(2, 3, 1, 4, 5, trunk=linear_trunk(4, 4))
    step(network, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2]), 0.5)
    assert " ".join(f"{name[0]}{module or ''}" for name, module in heard) == expected


def test_updates_in_turn_are_phases_too(heard: Heard) -> None:
    network = cascade(2, 3, 1, 4, 5, trunk=nn.Flatten())
    optimizers = [torch.optim.SGD(module.parameters(), 0.1) for module in network.local_modules]
    streamed_step(network, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2]), 0.5, optimizers=optimizers)
    assert " ".join(f"{name[0]}{module or ''}" for name, module in heard) == "f1 b1 o f f2 b2 o f f"
