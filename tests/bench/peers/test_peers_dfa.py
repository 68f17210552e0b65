"""Direct feedback alignment compared with numbers that public code gave, and with an oracle made of autograd."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peer_golden import PeerGolden, assert_golden, load_weights
from torch import Tensor, nn

from bench.config.check import make_cell
from bench.measure.inference import predict
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.networks.heads import PositionalHead
from bench.train.rules.peers.dfa import Feedback, feedback_matrix, logits_by_module, train_with_feedback
from bench.train.step import TrainingStep, build_step
from sid_core import BeliefNetwork, Pipeline

GOLDEN = PeerGolden("dfa")
CLASSES = GOLDEN.meta["config"]["classes"]
NETWORKS = ["cascade-linear", "cascade-conv", "pipeline-conv", "pipeline-linear"]
# By case, the places of the layers of each stage; the last layer is the head.
LAYERS = {
    "tiny": {"conv": "0.stage.0", "fc1": "1.stage.0", "fc2": "2.stage.0", "fc3": "2.head.first"},
    "bio": {"conv1": "0.stage.0", "conv2": "1.stage.0", "fc1": "2.stage.0", "fc2": "2.head.first"},
}


class OwnMatrices(nn.Module):
    """BioTorch's feedback: a matrix for each block, and of a convolution the transposed convolution of the error."""

    def forward(self, error: Tensor, shape: torch.Size) -> Tensor:
        """The gradient in the input of the layer after a block."""
        if len(shape) == 4:
            spread = error[:, :, None, None].expand(-1, -1, *shape[2:])
            return F.conv_transpose2d(spread, GOLDEN["bio/init/conv2.weight_backward"], padding=1)
        layer = {80: "fc1", 10: "fc2"}[shape[1]]
        return error @ GOLDEN[f"bio/init/{layer}.weight_backward"]


def built(case: str) -> tuple[Pipeline, nn.Module, dict[str, nn.Parameter]]:
    """The network of a golden case with its initial weights, its feedback, and each of its parameters by their name."""
    convolution = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    if case == "tiny":
        stages = [
            nn.Sequential(*convolution, nn.Flatten()),
            nn.Sequential(nn.Linear(64, 10), nn.ReLU()),
            nn.Sequential(nn.Linear(10, 7), nn.Tanh()),
        ]
    else:
        stages = [
            nn.Sequential(*convolution),
            nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Flatten()),
            nn.Sequential(nn.Linear(80, 10), nn.ReLU()),
        ]
    width = 7 if case == "tiny" else 10
    heads: list[nn.Module] = [
        PositionalHead(nn.Identity(), nn.Linear(width, CLASSES), nn.Identity(), CLASSES) for _ in stages
    ]
    network = Pipeline(stages, heads, CLASSES)
    names = {
        f"local_modules.{place}.{kind}": f"{layer}.{kind}"
        for layer, place in LAYERS[case].items()
        for kind in ("weight", "bias")
    }
    load_weights(network, GOLDEN.group(f"{case}/init"), names)
    feedback: nn.Module = OwnMatrices()
    if case == "tiny":
        feedback = feedback_matrix(network, (2, 8, 8))
        assert feedback.matrix.shape == GOLDEN["tiny/feedback_matrix"].shape
        feedback.matrix.copy_(GOLDEN["tiny/feedback_matrix"])
    return network, feedback, {theirs: network.get_parameter(own) for own, theirs in names.items()}


@pytest.mark.parametrize("case", LAYERS)
def test_gradients_losses_and_weights_are_those_of_public_code(case: str) -> None:
    network, feedback, parameters = built(case)
    images, labels = GOLDEN[f"{case}/x"], GOLDEN[f"{case}/y"]
    *_, logits = logits_by_module(network, images)
    assert_golden({"logits": logits}, {"logits": GOLDEN[f"{case}/logits0"]})
    settings = GOLDEN.meta["config"][f"{case}_opt"]
    optimizer = torch.optim.SGD(parameters.values(), settings["lr"], settings["momentum"])
    losses = []
    for step in range(settings["steps"]):
        optimizer.zero_grad()
        losses.append(float(train_with_feedback(network, images, labels, None, auxiliary=feedback)))
        if step == 0:
            gradients = {name: value.grad for name, value in parameters.items()}
            assert_golden(gradients, GOLDEN.group(f"{case}/grad0"))
        optimizer.step()
    assert losses == pytest.approx(GOLDEN[f"{case}/losses"].tolist(), rel=1e-6)
    assert_golden(parameters, GOLDEN.group(f"{case}/final"))


class Replaced(torch.autograd.Function):
    """The identity, with another gradient."""

    @staticmethod
    def forward(context: Any, features: Tensor, gradient: Tensor) -> Tensor:
        """``features``."""
        context.save_for_backward(gradient)
        return features.clone()

    @staticmethod
    def backward(context: Any, _gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """The gradient that was given."""
        return context.saved_tensors[0], None


def oracle(network: BeliefNetwork, images: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """Backpropagation of cross-entropy in which each block's output has its gradient replaced."""
    uniform = torch.full((len(images), 10), 0.1, dtype=images.dtype)

    def forward(error: Tensor) -> Tensor:
        def replaced(output: Tensor) -> Tensor:
            flat = error @ matrix[:, : output[0].numel()] / matrix.shape[1] ** 0.5
            return Replaced.apply(output, flat.reshape(output.shape))

        *before, last = network.local_modules
        if isinstance(network, Pipeline):
            features = images
            for module in network.local_modules:
                features = replaced(module.stage(features))
            return last.run_head(uniform, features)
        features, belief = replaced(network.trunk(images)), uniform
        for module in before:
            belief = replaced(module(belief, features).softmax(1))
        return last(belief, features)

    zero = images.new_zeros(len(images), 10)
    logits = forward(zero)
    (error,) = torch.autograd.grad(F.cross_entropy(logits, labels), logits)
    loss = F.cross_entropy(forward(error), labels)
    loss.backward()
    return loss.detach()


def step_of(network: str, **axes: Any) -> TrainingStep:
    depth = {} if network == "pipeline-conv" else {"depth": 3}
    sizes = {"modules": 3, "batch_size": 6, "hidden": 9, "width": 12, "dataset": "random", "image_size": 8}
    cell = make_cell({"method": "dfa", "network": network, **sizes, **depth, "passes": ["memory"], **axes})
    return build_step(cell, *shape_of(cell))


@pytest.mark.parametrize("axes", [{}, {"recompute": "all"}], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_backpropagation_with_replaced_gradients(network: str, axes: dict[str, Any]) -> None:
    ours, theirs = step_of(network, **axes), step_of(network).network.double()
    ours.network.double()
    feedback = ours.auxiliary
    assert isinstance(feedback, Feedback)
    feedback.double()
    images, labels = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(10, (6,))
    loss = train_with_feedback(ours.network, images, labels, None, auxiliary=feedback)
    torch.testing.assert_close(loss, oracle(theirs, images, labels, feedback.matrix), rtol=1e-10, atol=0)
    compared = 0
    for (name, mine), twin in zip(ours.network.named_parameters(), theirs.parameters(), strict=True):
        assert (mine.grad is None) == (twin.grad is None), name
        if mine.grad is not None and twin.grad is not None:
            torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-8, atol=1e-12)
            compared += bool(mine.grad.any())
    assert compared >= 6


def test_the_matrix_is_drawn_from_the_seed_and_is_never_trained() -> None:
    first, again, other = (step_of("pipeline-conv", seed=seed) for seed in (0, 0, 1))
    matrices = [step.auxiliary.matrix for step in (first, again, other)]  # type: ignore[union-attr]
    assert torch.equal(matrices[0], matrices[1])
    assert not torch.equal(matrices[0], matrices[2])
    assert float(matrices[0].detach().abs().max()) <= 1
    before = matrices[0].clone()  # type: ignore[operator]
    first(torch.randn(6, 1, 8, 8), torch.randint(10, (6,)))
    assert torch.equal(matrices[0], before)


def test_the_heads_before_the_last_are_neither_run_nor_trained() -> None:
    step = step_of("pipeline-conv")
    images, labels = torch.randn(6, 1, 8, 8), torch.randint(10, (6,))
    *before, _ = step.network.local_modules
    for module in before:
        module.head = nn.Identity()
    step(images, labels)
    logits = list(step.logits_by_module(step.network, images))
    assert [value is None for value in logits] == [True, True, False]
    last = logits[-1]
    assert last is not None
    torch.testing.assert_close(predict(step, images), last.detach())


def planned_peak(method: str, **axes: Any) -> int:
    cell = make_cell({"method": method, "dataset": "random", "batch_size": 128, "passes": ["memory"], **axes})
    return predict_memory(cell, *shape_of(cell)).peak_activation_bytes


def test_a_step_holds_the_activations_that_backpropagation_holds() -> None:
    axes = {"network": "pipeline-linear", "depth": 16, "modules": 16, "width": 64}
    # Besides these a block's feedback, [128, 64], and the error, [128, 10], twice.
    assert planned_peak("dfa", **axes) <= planned_peak("bp-plain", **axes) + 128 * (64 + 2 * 10) * 4
    axes = {"network": "pipeline-conv", "image_size": 16}
    assert planned_peak("dfa", **axes, recompute="modules") < planned_peak("dfa", **axes)
