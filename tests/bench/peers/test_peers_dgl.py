"""Decoupled greedy learning compared with numbers that the authors' public code gave, and held to one stage's bytes."""

import pytest
import torch
from peer_golden import OF_STEPS, PeerGolden, assert_golden, load_weights
from torch import Tensor, nn

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.measure.inference import measure_inference_memory, predict
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.networks.heads import Features, LaterUnits, build_heads
from bench.train.rules.peers.dgl import train_each_stage
from bench.train.rules.without_beliefs import logits_by_module
from bench.train.step import build_step
from sid_core import Pipeline

GOLDEN = PeerGolden("dgl")
HEADS = {"mlp-sr": "mlp-sr", "cnn": "conv", "mlp": "mlp"}  # our names of the authors' heads
OUTPUTS: list[Features] = [(4, 32, 32), (8, 16, 16), (8, 16, 16)]
CLASSES = 5


def built(case: str) -> tuple[Pipeline, dict[str, str]]:
    """The authors' network with their initial weights, and their name of each of its parameters but the beliefs'."""
    stages = [
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
    ]
    none_later = [LaterUnits((), None, list)] * 3
    network = Pipeline(stages, build_heads(HEADS[case], OUTPUTS, none_later, CLASSES, 0), CLASSES)
    golden, names = GOLDEN.group(f"{case}/init"), dict[str, str]()
    for index, module in enumerate(network.local_modules):
        own = [name for name, _ in module.named_parameters() if "belief" not in name]
        theirs = [name for name in golden if name.startswith((f"blocks.{index}.", f"auxillary_nets.{index}."))]
        names |= {f"local_modules.{index}.{mine}": name for mine, name in zip(own, theirs, strict=True)}
    load_weights(network, golden, names)
    return network, names


def noise_in(network: Pipeline, names: dict[str, str]) -> set[str]:
    """The authors' names of biases that a BatchNorm cancels."""
    linear = (nn.Conv2d, nn.Linear)
    found = set()
    for path, module in network.named_modules():
        for name, child in module.named_children():
            is_cancelled = isinstance(module, nn.Sequential) and any(
                isinstance(later, nn.BatchNorm1d | nn.BatchNorm2d)
                for later in list(module)[int(name) + 1 : int(name) + 2]
            )
            # ``first`` of an MLP head is followed by the BatchNorm at the beginning of ``rest``.
            is_first = name == "first" and isinstance(getattr(module, "rest", None), nn.Sequential)
            if isinstance(child, linear) and child.bias is not None and (is_cancelled or is_first):
                found.add(names[f"{path}.{name}.bias"])
    return found


def train(network: Pipeline, steps: int) -> list[float]:
    """Steps in float64, whose results do not depend on how a processor rounds."""
    network.double()
    images = GOLDEN["x"].double()
    settings = GOLDEN.meta["config"]["optimizer"]
    optimizer = torch.optim.SGD(
        network.parameters(), settings["lr"], settings["momentum"], weight_decay=settings["weight_decay"]
    )
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(float(train_each_stage(network, images, GOLDEN["y"], None)))
        optimizer.step()
    return losses


@pytest.mark.parametrize("case", HEADS)
def test_logits_and_gradients_of_the_first_step_are_the_authors(case: str) -> None:
    network, names = built(case)
    logits: dict[str, Tensor | None] = {str(k): value for k, value in enumerate(logits_by_module(network, GOLDEN["x"]))}
    assert_golden(logits, GOLDEN.group(f"{case}/logits0"))
    train_each_stage(network, GOLDEN["x"], GOLDEN["y"], None)
    gradients = {names[name]: value.grad for name, value in network.named_parameters() if name in names}
    assert_golden(gradients, GOLDEN.group(f"{case}/grad0"), noise_in(network, names))


@pytest.mark.parametrize("case", HEADS)
def test_the_losses_of_three_steps_are_the_authors(case: str) -> None:
    network, _ = built(case)
    assert train(network, 3) == pytest.approx(GOLDEN[f"{case}/losses"].sum(dim=1).tolist(), rel=1e-5)


def test_weights_after_three_steps_are_the_authors() -> None:
    network, names = built("mlp-sr")
    train(network, 3)
    weights = {names[name]: value for name, value in network.named_parameters() if name in names}
    assert_golden(weights, GOLDEN.group("mlp-sr/final"), noise_in(network, names), tolerance=OF_STEPS)


def test_beliefs_leave_the_heads_as_in_the_paper() -> None:
    network, names = built("mlp-sr")
    train_each_stage(network, GOLDEN["x"], GOLDEN["y"], None)
    of_beliefs = [value.grad for name, value in network.named_parameters() if name not in names]
    assert len(of_beliefs) == 3
    assert all(gradient is not None and not gradient.any() for gradient in of_beliefs)


def test_heads_are_the_papers_unless_the_cell_says() -> None:
    values = {"method": "dgl", "network": "pipeline-conv", "dataset": "random", "image_size": 8, "passes": ["memory"]}
    assert make_cell(values).head == "mlp-sr"
    assert make_cell(values | {"head": "linear"}).head == "linear"
    with pytest.raises(ConfigError, match="network = 'cascade-conv' for method 'dgl', a cascade; legal: pipeline"):
        make_cell(values | {"network": "cascade-conv", "head": "linear"})


@pytest.mark.parametrize("depth", [4, 16])
def test_the_activations_of_one_stage_are_held_at_a_time(depth: int) -> None:
    def peak(method: str) -> int:
        axes = {"network": "pipeline-linear", "dataset": "random", "depth": depth, "modules": depth, "width": 64}
        cell = make_cell({"method": method, **axes, "head": "linear", "batch_size": 128, "passes": ["memory"]})
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        images = torch.randn(128, *shape)
        return measure_memory(step, images, torch.randint(classes, (128,)), ask_allocator=False).peak_activation_bytes

    # Ten more tensors [128, 64] or [128, 256] would not fit between the two.
    assert peak("dgl") <= peak("sid-streamed") + 128 * 64 * 4
    assert depth == 4 or peak("dgl") < peak("bp") / 4


def test_a_prediction_runs_the_last_head_alone() -> None:
    cell = make_cell(
        {"method": "dgl", "network": "pipeline-conv", "dataset": "random", "image_size": 8, "passes": ["inference"]}
    )
    shape, classes = shape_of(cell)
    step = build_step(cell, shape, classes)
    images = torch.randn(3, *shape)
    step.network.eval()
    *_, last = step.logits_by_module(step.network, images)
    torch.testing.assert_close(predict(step, images), last.detach() if last is not None else None, rtol=0, atol=0)
    *before, final = step.network.local_modules
    held = measure_inference_memory(step, images).peak_total_bytes
    for module in before:
        module.head = nn.Identity()
    assert measure_inference_memory(step, images).peak_total_bytes == held
    assert final.head is not None
