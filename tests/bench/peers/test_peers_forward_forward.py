"""Forward-Forward compared with numbers of public code, and held to one layer's bytes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from peer_golden import PeerGolden, assert_golden, load_weights
from torch import Tensor, nn

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.measure.inference import predict
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.networks.build import build_network
from bench.train.rules.peers.forward_forward import (
    BesideLayers,
    Samples,
    logits_by_module,
    samples_of,
    train_each_layer,
    train_on_samples,
)
from bench.train.step import build_step
from sid_core import Pipeline

GOLDEN = PeerGolden("forward_forward")
CASES = GOLDEN.meta["config"]["cases"]
SHAPE = (1, 28, 28)
LABELS = GOLDEN["class_labels"]
SAMPLES = Samples(*(GOLDEN[name].flatten(1) for name in ("pos_images", "neg_images", "neutral_sample")))
COLUMNS = "[:, 300:400]"  # of the first layer, which the golden file has of its weights after steps


def golden_network() -> tuple[nn.ModuleDict, dict[str, str]]:
    """Layers and classifier with the golden weights, and their names in the golden file."""
    stages = [nn.Sequential(nn.Linear(width, 14), nn.ReLU()) for width in (784, 14, 14)]
    network = Pipeline.with_heads(stages, [14] * 3, 10, 4)
    parts = nn.ModuleDict({"network": network, "auxiliary": BesideLayers(network, SHAPE)})
    names = {
        f"network.local_modules.{index}.stage.0.{kind}": f"model.{index}.{kind}"
        for index in range(3)
        for kind in ("weight", "bias")
    }
    names["auxiliary.classifier.weight"] = "linear_classifier.0.weight"
    load_weights(parts, GOLDEN.group("init"), names)
    return parts, names


def train(parts: nn.ModuleDict, case: str, steps: int) -> list[float]:
    optimizers = GOLDEN.meta["config"]["optimizer"]
    groups = [
        {"params": parts["network"].parameters(), "lr": CASES[case]["lr"], "weight_decay": optimizers["layers"]["wd"]},
        {
            "params": parts["auxiliary"].parameters(),
            "lr": optimizers["classifier"]["lr"],
            "weight_decay": optimizers["classifier"]["wd"],
        },
    ]
    optimizer = torch.optim.SGD(groups, momentum=optimizers["momentum"])
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        weight = CASES[case]["peer_normalization"]
        losses.append(float(train_on_samples(parts["network"], SAMPLES, LABELS, parts["auxiliary"], weight)))
        optimizer.step()
    return losses


def weights(parts: nn.ModuleDict, names: dict[str, str]) -> dict[str, Tensor]:
    found = {names[name]: value for name, value in parts.named_parameters() if name in names}
    return found | {f"model.0.weight{COLUMNS}": found["model.0.weight"][:, 300:400]}


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_first_step_are_the_public_codes(case: str) -> None:
    parts, names = golden_network()
    train_on_samples(parts["network"], SAMPLES, LABELS, parts["auxiliary"], CASES[case]["peer_normalization"])
    gradients = {names[name]: value.grad for name, value in parts.named_parameters() if name in names}
    assert_golden(gradients, GOLDEN.group(f"{case}/grad0"))
    assert all(value.grad is None for name, value in parts.named_parameters() if name not in names)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_of_three_steps_are_the_public_codes(case: str) -> None:
    parts, names = golden_network()
    assert train(parts, case, 3) == pytest.approx(GOLDEN[f"{case}/losses"][:, -1].tolist(), rel=1e-5)
    assert_golden(weights(parts, names), GOLDEN.group(f"{case}/after3"))


@pytest.mark.parametrize("case", CASES)
def test_weights_and_mean_activities_after_one_step_are_the_public_codes(case: str) -> None:
    parts, names = golden_network()
    train(parts, case, 1)
    assert_golden(weights(parts, names), GOLDEN.group(f"{case}/after1"))
    if CASES[case]["peer_normalization"]:
        activities = {str(index): parts["auxiliary"].activity(index) for index in range(3)}
        assert_golden(activities, GOLDEN.group(f"{case}/running_mean_after1"))


def cell_of(**axes: Any) -> Cell:
    sizes = {"modules": 3, "depth": 3, "hidden": 9, "width": 7, "batch_size": 6, "dataset": "random", "image_size": 8}
    values = {"method": "forward-forward", "network": "pipeline-linear", **sizes, "passes": ["memory"], **axes}
    return make_cell(values)


@given(classes=st.integers(2, 12), seed=st.integers(0, 2**31))
def test_samples_differ_in_their_labels_alone(classes: int, seed: int) -> None:
    torch.manual_seed(seed)
    images, labels = torch.randn(5, 3, 2, 2), torch.randint(classes, (5,))
    samples = samples_of(images, labels, classes)
    for sample in samples:
        torch.testing.assert_close(sample[:, classes:], images.flatten(1)[:, classes:], rtol=0, atol=0)
    torch.testing.assert_close(samples.positive[:, :classes], F.one_hot(labels, classes).float())
    wrong = samples.negative[:, :classes]
    assert torch.equal(wrong.sum(dim=1), torch.ones(5))
    assert torch.equal(wrong, F.one_hot(wrong.argmax(dim=1), classes).float())
    assert (wrong.argmax(dim=1) != labels).all()
    torch.testing.assert_close(samples.neutral[:, :classes], torch.full((5, classes), 1 / classes))


def test_negative_labels_are_drawn_uniformly_from_all_others() -> None:
    torch.manual_seed(0)
    labels = torch.full((4000,), 2)
    counts = samples_of(torch.zeros(4000, 1, 2, 3), labels, 5).negative[:, :5].sum(dim=0)
    assert counts[2] == 0
    assert (counts[[0, 1, 3, 4]] - 1000).abs().max() < 150  # over five standard deviations


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), depth=st.integers(2, 4))
def test_gradients_are_those_of_the_formula(seed: int, depth: int) -> None:
    """Without the peer loss, the ReLU is the usual one."""
    cell = cell_of(depth=depth, modules=depth)
    ours, theirs = (build_network(cell, *shape_of(cell)).double() for _ in range(2))
    torch.manual_seed(seed)
    auxiliary = BesideLayers(ours, (1, 8, 8)).double()
    classifier = auxiliary.classifier.weight.detach().clone().requires_grad_()
    images, labels = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(10, (6,))
    torch.manual_seed(seed)
    loss = train_each_layer(ours, images, labels, None, auxiliary=auxiliary, peer_weight=0)

    torch.manual_seed(seed)
    samples = samples_of(images, labels, 10)

    def unit(rows: Tensor) -> Tensor:
        return rows / (rows.norm(dim=1, keepdim=True) / rows.shape[1] ** 0.5 + 1e-8)

    rows, features = unit(torch.cat(samples)), []
    expected = torch.zeros((), dtype=torch.float64)
    for module in theirs.local_modules:
        active = module.stage(rows)
        probability = torch.sigmoid(active.square().sum(1) - active.shape[1])
        expected = expected - (probability[:6].log().sum() + torch.log1p(-probability[6:12]).sum()) / 12
        rows = unit(active.detach())
        features.append(rows[12:])
    expected = expected + F.cross_entropy(torch.cat(features[1:], dim=1) @ classifier.T, labels)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-9)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if other.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(auxiliary.classifier.weight.grad, classifier.grad, rtol=1e-6, atol=1e-9)


def test_a_prediction_does_not_read_the_place_of_the_label() -> None:
    step = build_step(cell := cell_of(passes=["inference"]), *shape_of(cell))
    images = torch.randn(4, 1, 8, 8)
    others = images.clone()
    others.flatten(1)[:, :10] += 1
    torch.testing.assert_close(predict(step, images), predict(step, others), rtol=0, atol=0)
    others.flatten(1)[:, 10] += 1
    assert not torch.allclose(predict(step, images), predict(step, others))
    *before, last = logits_by_module(step.network, images, auxiliary=step.auxiliary)  # type: ignore[arg-type]
    assert before == [None, None]
    torch.testing.assert_close(predict(step, images), last, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"network": "pipeline-conv"}, "network = 'pipeline-conv' .*legal: pipeline-linear"),
        ({"network": "cascade-linear"}, "network = 'cascade-linear' .*legal: pipeline-linear"),
        ({"modules": 1, "depth": 1}, "modules = 1 .*legal: 2 or more"),
        ({"modules": 2, "depth": 4}, "modules = 2 with depth = 4 .*legal: 4"),
        ({"head": "mlp"}, "head = 'mlp' .*legal: linear"),
        ({"micro_batches": 2}, "micro_batches = 2 .*legal: 1"),
        ({"recompute": "modules"}, "recompute = 'modules' .*legal: none"),
    ],
)
def test_cells_that_it_cannot_mean_are_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell_of(**axes)


def test_the_public_codes_optimizer_has_a_name() -> None:
    cell = cell_of(method="forward-forward-authors")
    assert (cell.method, cell.optimizer, cell.schedule) == ("forward-forward", "sgd", "constant")
    assert (cell.learning_rate, cell.weight_decay) == (0.001, GOLDEN.meta["config"]["optimizer"]["layers"]["wd"])


def test_images_too_small_for_a_label_are_refused() -> None:
    cell = cell_of(image_size=3)
    with pytest.raises(ConfigError, match=r"10 classes for images of shape \[1, 3, 3\].*legal: at most 9"):
        build_step(cell, *shape_of(cell))


@pytest.mark.parametrize("depth", [4, 16])
@pytest.mark.long
def test_the_activations_of_one_layer_are_held_at_a_time(depth: int) -> None:
    def peak(method: str, layers: int) -> int:
        sizes = {"depth": layers, "modules": layers, "width": 128, "batch_size": 128}
        cell = cell_of(method=method, **sizes, head="linear")
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(step, images, labels, ask_allocator=False).peak_activation_bytes

    # The sum of losses is the only thing that a further layer could leave behind.
    assert peak("forward-forward", depth) <= peak("forward-forward", 3) + 4
    assert depth == 4 or peak("forward-forward", depth) < peak("bp", depth) / 2
