"""The parallel step on ranks that are real processes, compared with published on one rank."""

import copy
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from rank_job import run_ranks
from test_core_steps import TOLERANCE, Case, cases
from torch import nn

from sid_core import (
    Cascade,
    Objective,
    Pipeline,
    RankPart,
    gather_parameters,
    linear_trunk,
    parallel_step,
    pipelined_steps,
    published_step,
    rank_part,
    recomputed,
)

few_jobs = settings(
    deadline=None,
    derandomize=True,
    max_examples=2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
EXAMPLE = Case(4, 1, 5, 6, 4, 8, "linear", torch.float64, 0.5, 1.0, 0)


class Odd(nn.Module):
    """A module of another kind, which goes through autograd."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(classes + width, classes)

    def forward(self, belief: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(torch.cat((belief, features), 1)))


def with_odd_modules(network: Cascade) -> None:
    """Replaces every second module."""
    for index in range(0, len(network.local_modules), 2):
        width = network.local_modules[index].mlp[0].in_features - network.classes
        network.local_modules[index] = Odd(network.classes, width).to(next(network.parameters()).dtype)


def own_parameters(part: RankPart, network: nn.Module) -> list[torch.Tensor]:
    """The parameters of ``network`` that ``part`` has as well."""
    modules = list(network.local_modules)[part.first : part.first + part.sizes[part.rank]]  # type: ignore[arg-type]
    return [*network.trunk.parameters(), *(parameter for module in modules for parameter in module.parameters())]  # type: ignore[union-attr, operator]


def largest_errors(_rank: int, drawn: list[tuple[Case, bool]]) -> list[tuple[float, float]]:
    """The errors of gradients (relative to the largest) and loss for each case, divided by their tolerance."""
    errors = []
    for case, odd in drawn:
        reference, images, labels = case.build()
        network, *_ = case.build()
        if odd:
            with_odd_modules(reference)
            network = copy.deepcopy(reference)
        expected = case.step(published_step, reference, images, labels)
        part = rank_part(network)
        loss = case.step(parallel_step, part, images, labels)  # type: ignore[arg-type]
        theirs = [parameter.grad for parameter in own_parameters(part, reference)]
        ours = [parameter.grad for parameter in part.network.parameters()]
        assert [gradient is None for gradient in ours] == [gradient is None for gradient in theirs]
        scale = max(float(p.grad.abs().max()) for p in reference.parameters() if p.grad is not None)
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        error = max(float((a - b).abs().max()) for a, b in pairs) / max(1e-30, scale)
        tolerance = TOLERANCE[case.dtype]
        errors.append((error / tolerance, float((loss - expected).abs()) / (tolerance * max(1, float(expected)))))
    return errors


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.long
def test_gradients_and_loss_are_those_of_published(ranks: int, tmp_path: Path) -> None:
    """Half of the cases have modules of another kind."""

    def fitting(*trunks: str) -> st.SearchStrategy[Case]:
        return cases(trunks).filter(lambda case: case.modules >= ranks)

    usual = st.tuples(fitting("linear", "flatten", "convolutional"), st.just(False))
    odd = st.tuples(fitting("linear", "convolutional"), st.just(True))

    @few_jobs
    @given(*(st.lists(some, min_size=12, max_size=12) for some in (usual, odd)))
    def compare(some: list[tuple[Case, bool]], others: list[tuple[Case, bool]]) -> None:
        drawn = some + others
        for errors in run_ranks(ranks, largest_errors, tmp_path, drawn):
            assert isinstance(errors, list), errors
            assert len(errors) == len(drawn)
            assert max(max(pair) for pair in errors) <= 1

    compare()


def recomputed_errors(_rank: int) -> list[float]:
    """The relative errors of gradients if the trunk is recomputed, and if modules are as well."""
    errors = []
    for modules in (False, True):
        reference, images, labels = EXAMPLE.build()
        part = rank_part(recomputed(EXAMPLE.build()[0], trunk=True, modules=modules))
        published_step(reference, images, labels, 0.5)
        parallel_step(part, images, labels, 0.5)
        pairs = zip(part.network.parameters(), own_parameters(part, reference), strict=True)
        gradients = [(one.grad, other.grad) for one, other in pairs if one.grad is not None and other.grad is not None]
        errors.append(max(float((one - other).abs().max() / other.abs().max()) for one, other in gradients))
        gather_parameters(part, EXAMPLE.build()[0])  # their names are those of the network
    return errors


def test_a_recomputed_network_trains_over_ranks(tmp_path: Path) -> None:
    for errors in run_ranks(2, recomputed_errors, tmp_path):
        assert isinstance(errors, list), errors
        assert len(errors) == 2
        assert max(errors) <= TOLERANCE[EXAMPLE.dtype]


def narrow_errors(_rank: int) -> tuple[float, set[torch.dtype]]:
    """The error of gradients under autocast to bfloat16, relative to the largest, and the types of the gradients."""
    case = replace(EXAMPLE, dtype=torch.float32)
    reference, images, labels = case.build()
    part = rank_part(case.build()[0])
    with torch.autocast("cpu", torch.bfloat16):
        published_step(reference, images, labels, 0.5)
        parallel_step(part, images, labels, Objective(0.5))
    ours = [parameter.grad for parameter in part.network.parameters() if parameter.grad is not None]
    theirs = [parameter.grad for parameter in own_parameters(part, reference) if parameter.grad is not None]
    scale = max(float(gradient.abs().max()) for gradient in theirs)
    error = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) / scale
    return error, {gradient.dtype for gradient in ours}


def test_under_autocast_ranks_agree_with_published_on_one(tmp_path: Path) -> None:
    for result in run_ranks(2, narrow_errors, tmp_path):
        assert isinstance(result, tuple), result
        error, dtypes = result
        assert error <= 0.05  # bfloat16 has eight bits
        assert dtypes == {torch.float32}


def train(rank: int, steps: int) -> dict[str, Any]:
    """Trains a network on two ranks, and the same network on one; returns the weights of both."""
    reference, images, labels = EXAMPLE.build()
    network = EXAMPLE.build()[0]
    if rank == 1:
        network.trunk.apply(lambda module: module.reset_parameters() if isinstance(module, nn.Linear) else None)
    part = rank_part(network)  # the trunk is that of rank 0
    optimizer = torch.optim.Adam(part.network.parameters(), lr=1e-2)
    whole = torch.optim.Adam(reference.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        parallel_step(part, images, labels, 0.5)
        optimizer.step()
        whole.zero_grad()
        published_step(reference, images, labels, 0.5)
        whole.step()
    gathered = EXAMPLE.build()[0]
    gather_parameters(part, gathered)
    return {
        "gathered": gathered.state_dict(),
        "reference": reference.state_dict(),
        "names": [name for name, _ in part.network.named_parameters()],
        "sizes": part.sizes,
    }


def test_training_on_two_ranks_gives_the_weights_of_one(tmp_path: Path) -> None:
    results = run_ranks(2, train, tmp_path, 5)
    for result in results:
        assert isinstance(result, dict), result
        assert result["sizes"] == (2, 2)
        assert len(result["names"]) == 2 + 2 * 4, "a rank holds the trunk and its own modules only"
        for name, value in result["reference"].items():
            assert torch.allclose(result["gathered"][name], value, rtol=0, atol=1e-9), name
    for name, value in results[0]["gathered"].items():
        assert torch.equal(value, results[1]["gathered"][name]), name


def one_alone(rank: int) -> list[str]:
    """Returns the messages of errors that every rank raises."""
    network, images, labels = EXAMPLE.build()
    part = rank_part(network, [1, 3])
    pipeline = Pipeline.with_heads([nn.Flatten(), nn.Identity()], [32, 32], 5)
    with_trunk = Pipeline.with_heads([nn.Flatten(), nn.Identity()], [32, 32], 5)
    with_trunk.trunk = nn.Flatten()
    messages = []
    for attempt in (
        lambda: rank_part(network, [4]),
        lambda: rank_part(network, [0, 4]),
        lambda: rank_part(network, [1 + rank, 3 - rank]),
        lambda: rank_part(Cascade(linear_trunk(32, 4), [network.local_modules[0]], 5)),
        lambda: parallel_step(rank_part(pipeline), images, labels, 0.5),
        lambda: parallel_step(part, images, labels, [0.5]),
        lambda: parallel_step(part, images, labels, 0.5, direction="sideways"),
        lambda: gather_parameters(part, part.network),
        lambda: rank_part(Cascade(linear_trunk(32, 4), [network.local_modules[0]] * 2, 5)),
        lambda: rank_part(Cascade(network.local_modules[1].mlp, [*network.local_modules], 5)),  # type: ignore[arg-type]
        lambda: rank_part(Cascade(nn.Sequential(nn.Dropout(0.1)), [*network.local_modules], 5)),
        lambda: pipelined_steps(rank_part(with_trunk), [], 0.5, torch.optim.SGD([torch.zeros(1)], 0.1)),
        lambda: parallel_step(part, images, labels[1:], 0.5),
    ):
        try:
            attempt()
        except ValueError as error:
            messages.append(str(error))
    return messages


def test_illegal_arguments_are_refused_on_every_rank(tmp_path: Path) -> None:
    for messages in run_ranks(2, one_alone, tmp_path):
        assert isinstance(messages, list), messages
        fragments = [
            "sizes = [4]; legal: 2 integers of 1 or more, one per rank, 4 in all",
            "sizes = [0, 4]; legal:",
            "ranks do not agree on sizes: [(1, 3), (2, 2)]",
            "the job has 2 ranks; legal: 1 to 1, the number of modules",
            "part is of a Pipeline",
            "alpha has 1 values; legal: one number, or one for each of the 4 modules",
            "direction = 'sideways'; legal: forward, reverse",
            "legal: 4",
            "modules, or a module and the trunk, share a parameter",
            "modules, or a module and the trunk, share a parameter",
            "the trunk has a Dropout; legal: trunks that draw no random numbers",
            "the pipeline has a Flatten for a trunk; legal for pipelined_steps: nn.Identity",
            "labels have shape [5]; legal: [6], one label per image",
        ]
        assert len(messages) == len(fragments)
        for message, fragment in zip(messages, fragments, strict=True):
            assert fragment in message


class Transposed(nn.Module):
    """A trunk whose features are stored column by column."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.trunk(images)
        return features.t().contiguous().t()


def with_layouts(_rank: int) -> float:
    """The error of the trunk's gradients if features are stored by columns and one rank has no closed form."""
    reference, images, labels = EXAMPLE.build()
    reference.local_modules[-1] = Odd(5, reference.local_modules[0].mlp[0].in_features - 5).double()
    reference.trunk = Transposed(reference.trunk)
    part = rank_part(copy.deepcopy(reference))
    published_step(reference, images, labels, 0.5)
    parallel_step(part, images, labels, 0.5)
    pairs = zip(part.network.trunk.parameters(), reference.trunk.parameters(), strict=True)
    return max(float((ours.grad - theirs.grad).abs().max()) for ours, theirs in pairs)  # type: ignore[operator]


def test_gradients_in_features_add_up_over_ranks_in_any_memory_layout(tmp_path: Path) -> None:
    for error in run_ranks(2, with_layouts, tmp_path):
        assert isinstance(error, float), error
        assert error < 1e-12


def gather_channels_last(rank: int) -> bool:
    """Whether the gathered stages are those of each rank if rank 1 has another memory format."""
    torch.manual_seed(0)
    stages = [nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3)]
    network = Pipeline.with_heads(stages, [3, 4], 5)
    expected = copy.deepcopy(network.state_dict())
    part = rank_part(network)
    if rank == 1:
        part.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    gathered = Pipeline.with_heads([nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3)], [3, 4], 5)
    gather_parameters(part, gathered)
    return all(torch.equal(value, expected[name]) for name, value in gathered.state_dict().items())


def test_parameters_are_gathered_in_any_memory_layout(tmp_path: Path) -> None:
    assert run_ranks(2, gather_channels_last, tmp_path) == [True, True]


def test_the_error_without_a_process_group_says_how_to_start_one() -> None:
    assert not dist.is_initialized()
    with pytest.raises(RuntimeError, match="start the job with torchrun"):
        rank_part(EXAMPLE.build()[0])


def lose_rank_1(rank: int, way: str) -> str:
    """Trains until rank 1 has ended; returns the errors of the other ranks."""
    network, images, labels = EXAMPLE.build()
    part = rank_part(network)
    parallel_step(part, images, labels, 0.5)
    if rank == 1:
        if way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    try:
        for _ in range(3):
            parallel_step(part, images, labels, 0.5)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was noticed"


@pytest.mark.long
@pytest.mark.parametrize("way", ["killed", "hangs"])
def test_a_lost_rank_ends_the_step_on_every_other_rank(way: str, tmp_path: Path) -> None:
    first, lost, last = run_ranks(3, lose_rank_1, tmp_path, way, timeout_seconds=3, patience_seconds=9)
    assert lost is None
    assert first.startswith("RankLostError: rank 0 of 3 lost another rank"), first
    assert last.startswith("RankLostError: rank 2 of 3 lost another rank"), last
