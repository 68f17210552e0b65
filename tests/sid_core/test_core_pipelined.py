"""Pipelines on ranks that are real processes: the weights of a sequential run, bit for bit."""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_job import run_ranks
from torch import Tensor, nn

from sid_core import (
    Cascade,
    LocalModule,
    Objective,
    Pipeline,
    RankPart,
    gather_parameters,
    pipelined_steps,
    rank_part,
    streamed_step,
)

STAGES, CLASSES, WIDTH = 5, 4, 6
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "fused Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2, fused=True),
}
ALPHAS = [0.9, 0.7, 0.5, 0.3, 0.2]


def linear_stages() -> Pipeline:
    torch.manual_seed(3)
    stages = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(STAGES)]
    return Pipeline.with_heads(stages, [WIDTH] * STAGES, CLASSES, hidden=5)


def convolutional_stages() -> Pipeline:
    """With BatchNorm, and ReLUs in place that overwrite the features of the stage before."""
    torch.manual_seed(4)
    stages: list[nn.Module] = [nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH))]
    stages += [nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)) for _ in range(2)]
    stages += [nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * WIDTH, WIDTH)), nn.Linear(WIDTH, WIDTH)]
    return Pipeline.with_heads(stages, [WIDTH] * STAGES, CLASSES, hidden=5)


NETWORKS = {"linear": (linear_stages, (WIDTH,)), "convolutional": (convolutional_stages, (1, 4, 4))}


def batches(count: int, shape: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields ``count`` batches, the last of which is smaller."""
    generator = torch.Generator().manual_seed(5)
    for index in range(count):
        size = 3 if index == count - 1 else 8
        yield torch.randn(size, *shape, generator=generator), torch.randint(CLASSES, (size,), generator=generator)


def train(
    _rank: int, name: str, optimizer: str, count: int, queue: int, objective: dict[str, Any], is_narrow: bool
) -> dict[str, Any]:
    """Trains the network on all ranks, and on one; returns losses and weights of both."""
    build, shape = NETWORKS[name]
    part = rank_part(build())
    own = OPTIMIZERS[optimizer](part.network.parameters())
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=is_narrow)
    with autocast:
        losses = [
            pipelined_steps(
                *(part, batches(count, shape), Objective(ALPHAS, **objective), own), queue=queue, exact_loss=is_exact
            )
            for is_exact in (False, True)
        ]
    gathered = build()
    gather_parameters(part, gathered)
    alone = build()
    whole = OPTIMIZERS[optimizer](alone.parameters())
    expected = []
    for images, labels in [*batches(count, shape), *batches(count, shape)]:
        whole.zero_grad()
        with autocast:
            expected.append(streamed_step(alone, images, labels, ALPHAS, **objective))
        whole.step()
    return {
        "losses": torch.cat(losses),
        "expected": torch.stack(expected) if expected else torch.zeros(0),
        "gathered": gathered.state_dict(),
        "alone": alone.state_dict(),
        "dtypes": {parameter.grad.dtype for parameter in part.network.parameters() if parameter.grad is not None},
        "untouched": build().state_dict(),
    }


@pytest.mark.parametrize(
    ("ranks", "name", "optimizer", "count", "queue", "objective", "is_narrow"),
    [
        (2, "linear", "SGD", 1, 1, {}, False),
        (2, "linear", "Adam", 7, 2, {"direction": "reverse", "smoothing": 0.2}, False),
        (2, "convolutional", "SGD", 6, 3, {"reduction": "mean"}, False),
        (2, "convolutional", "Adam", 4, 2, {}, True),
        (3, "linear", "fused Adam", 30, 1, {}, False),
        (3, "linear", "fused Adam", 5, 1, {}, True),
        (3, "convolutional", "Adam", 5, 2, {}, False),
    ],
)
@pytest.mark.long
def test_weights_are_those_of_a_sequential_run_bit_for_bit(
    ranks: int,
    name: str,
    optimizer: str,
    count: int,
    queue: int,
    objective: dict[str, Any],
    is_narrow: bool,
    tmp_path: Path,
) -> None:
    results = run_ranks(ranks, train, tmp_path, name, optimizer, count, queue, objective, is_narrow)
    for result in results:
        assert isinstance(result, dict), result
        assert result["losses"].shape == (2 * count,)
        assert torch.allclose(result["losses"], result["expected"], rtol=1e-5)
        assert torch.equal(result["losses"][count:], result["expected"][count:]), "which were asked for exactly"
        assert result["dtypes"] == {torch.float32}
        for key, value in result["alone"].items():
            assert torch.equal(result["gathered"][key], value), key
        assert any(not torch.equal(result["untouched"][key], value) for key, value in result["alone"].items())


def no_batches(_rank: int) -> list[int]:
    part = rank_part(linear_stages())
    optimizer = OPTIMIZERS["SGD"](part.network.parameters())
    return list(pipelined_steps(part, [], 0.5, optimizer).shape)


def test_without_batches_there_are_no_losses(tmp_path: Path) -> None:
    assert run_ranks(2, no_batches, tmp_path) == [[0], [0]]


def slow_second_rank(rank: int, folder: str, queue: int, count: int) -> int:
    """The number of batches that the first rank has begun while the second, which took two at most, does nothing."""
    part = rank_part(linear_stages())
    optimizer = OPTIMIZERS["SGD"](part.network.parameters())
    begun = Path(folder) / "begun"
    furthest = 0

    def watched() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal furthest
        for index, batch in enumerate(batches(count, (WIDTH,))):
            if rank == 0:
                with begun.open("a") as file:
                    file.write(".")
            elif index == 1:
                deadline = time.monotonic() + 20
                while begun.stat().st_size < queue and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(0.5)
                furthest = begun.stat().st_size
            yield batch

    pipelined_steps(part, watched(), 0.5, optimizer, queue=queue)
    return furthest


@pytest.mark.parametrize("queue", [1, 4])
@pytest.mark.long
def test_a_rank_waits_for_the_next_when_its_queue_is_full(queue: int, tmp_path: Path) -> None:
    """Without a bound, the first rank would have begun the last batch."""
    _, furthest = run_ranks(2, slow_second_rank, tmp_path, str(tmp_path), queue, 40)
    assert isinstance(furthest, int), furthest
    asked_for = 1
    assert queue <= furthest <= queue + asked_for + 1


class Unsteady(nn.Module):
    """A stage whose features have as many tokens as there are images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.unsqueeze(1).expand(-1, len(images), -1)


def refused(_rank: int) -> list[str]:
    """Returns the messages of errors that every rank raises."""
    part = rank_part(linear_stages())
    optimizer = OPTIMIZERS["SGD"](part.network.parameters())
    cascade_part = copy.copy(part)
    object.__setattr__(cascade_part, "network", Cascade(nn.Identity(), [LocalModule(WIDTH, CLASSES, 3)] * 2, CLASSES))
    messages = []
    attempts: list[tuple[RankPart, Any, dict[str, Any]]] = [
        (cascade_part, 0.5, {}),
        (part, [0.5, 0.5], {}),
        (part, 0.5, {"queue": 0}),
        (part, 0.5, {"reduction": "max"}),
    ]
    for one, alpha, keywords in attempts:
        try:
            pipelined_steps(one, batches(2, (WIDTH,)), alpha, optimizer, **keywords)
        except ValueError as error:
            messages.append(str(error))
    return messages


def test_illegal_arguments_are_refused(tmp_path: Path) -> None:
    for messages in run_ranks(2, refused, tmp_path):
        assert isinstance(messages, list), messages
        assert [message.partition(";")[0] for message in messages] == [
            "part is of a Cascade, whose trunk waits for every module",
            "alpha has 2 values",
            "queue = 0",
            "reduction = 'max'",
        ]


def unsteady(_rank: int) -> str:
    part = rank_part(Pipeline.with_heads([Unsteady(), nn.Linear(WIDTH, WIDTH)], [WIDTH] * 2, CLASSES))
    optimizer = OPTIMIZERS["SGD"](part.network.parameters())
    try:
        pipelined_steps(part, batches(3, (WIDTH,)), 0.5, optimizer)
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was noticed"


def test_features_of_another_shape_end_the_job_on_every_rank(tmp_path: Path) -> None:
    """The error of the first rank says why; that of the second says that it lost the first."""
    first, second = run_ranks(2, unsteady, tmp_path, timeout_seconds=5)
    assert first == ("ValueError: features of a sample have shape [3, 6]; legal: [8, 6], that of the first batch")
    assert second.startswith("RankLostError: rank 1 of 2 lost another rank"), second
