"""Synthetic gradients compared with numbers of public code, and held to a slow oracle and to two stages' bytes."""

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
from bench.train.rules.peers.dni import Synthesizer, synthesizers, train_by_synthetic_gradients
from bench.train.step import build_step
from sid_core import BeliefNetwork, Pipeline, recomputed

GOLDEN = PeerGolden("dni")
CASES = {"B_plain": (1, 0), "B_context": (2, 5)}  # hidden layers, classes that the synthesizer reads
NETWORKS = ["pipeline-linear", "pipeline-conv", "pipeline-vit-tiny"]


class Logits(nn.Module):
    """A head that takes the features as logits."""

    def forward(self, _belief: Tensor, features: Tensor) -> Tensor:
        return features


def golden_network(case: str) -> tuple[nn.ModuleDict, dict[str, str]]:
    """Three linear layers, and synthesizers after the first two, with the golden weights and names."""
    stages = [
        nn.Sequential(nn.Linear(9, 7), nn.ReLU()),
        nn.Sequential(nn.Linear(7, 6), nn.ReLU()),
        nn.Sequential(nn.Linear(6, 5)),
    ]
    hidden_layers, classes = CASES[case]
    made = [Synthesizer((width,), classes, width + 3, hidden_layers) for width in (7, 6)]
    network = Pipeline(stages, [Logits() for _ in stages], 5)
    parts = nn.ModuleDict({"network": network, "auxiliary": nn.ModuleList(made)})
    golden, names = GOLDEN.group(f"{case}/init"), dict[str, str]()
    for name, _ in parts.named_parameters():
        kind = name.rpartition(".")[2]
        if name.startswith("network"):
            names[name] = f"l{int(name.split('.')[2]) + 1}.{kind}"
            continue
        start = f"syn{int(name.split('.')[1]) + 1}.synthesizer"
        if "of_" in name:
            names[name] = f"{start}.{'input_trigger' if 'features' in name else 'input_context'}.{kind}"
        else:
            names[name] = f"{start}.layers.{int(name.split('.')[3]) // 2}.{kind}"
    assert set(names.values()) == set(golden)
    load_weights(parts, golden, names)
    return parts, names


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_weights_of_three_steps_are_the_public_codes(case: str) -> None:
    parts, names = golden_network(case)
    images, labels = GOLDEN[f"{case}/x"], GOLDEN[f"{case}/y"]
    optimizer = torch.optim.SGD(parts.parameters(), 0.1)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        auxiliary: Any = parts["auxiliary"]
        losses.append(float(train_by_synthetic_gradients(parts["network"], images, labels, None, auxiliary=auxiliary)))
        if step == 0:
            gradients = {names[name]: value.grad for name, value in parts.named_parameters()}
            assert_golden(gradients, GOLDEN.group(f"{case}/grad0"))
        optimizer.step()
    assert losses == pytest.approx(GOLDEN[f"{case}/losses"].tolist(), rel=1e-5)
    assert_golden({names[name]: value for name, value in parts.named_parameters()}, GOLDEN.group(f"{case}/final"))


def cell_of(network: str, **axes: Any) -> Cell:
    depth = {"depth": 3, "width": 7} if network == "pipeline-linear" else {}
    values = {"method": "dni", "modules": 3, "hidden": 9, "batch_size": 5, "dataset": "random", "image_size": 8}
    return make_cell({"network": network, "passes": ["memory"], **values, **depth, **axes})


def built(network: str, seed: int) -> tuple[BeliefNetwork, nn.ModuleList]:
    """A network and synthesizers whose last layers are not zero."""
    cell = cell_of(network, seed=seed)
    model = build_network(cell, *shape_of(cell))
    made = synthesizers(model, (1, 8, 8)).double()
    model = model.double()
    for value in made.parameters():
        nn.init.normal_(value, std=0.1)
    return model, made


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(5, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (5,), generator=generator)


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(network=st.sampled_from(NETWORKS), seed=st.integers(0, 2**31), recompute=st.booleans())
def test_gradients_are_those_of_the_papers_rule(network: str, seed: int, recompute: bool) -> None:
    ours, made = built(network, seed)
    theirs, twins = built(network, seed)
    images, labels = batch(seed)
    view = recomputed(ours, modules=True) if recompute else ours
    loss = train_by_synthetic_gradients(view, images, labels, None, auxiliary=made)

    *_, last = theirs.local_modules
    label = F.one_hot(labels, 10).double()
    inputs, outputs = [images], []
    for module in theirs.local_modules:
        outputs.append(module.stage(inputs[-1]))  # type: ignore[operator]
        inputs.append(outputs[-1].detach().requires_grad_())
    expected = F.cross_entropy(last.run_head(torch.full((5, 10), 0.1, dtype=torch.float64), outputs[-1]), labels)  # type: ignore[operator]
    expected.backward()
    for index in (1, 0):  # from the last but one to the first
        synthetic = twins[index](inputs[index + 1].detach(), label)
        ((synthetic - inputs[index + 1].grad) ** 2).sum().div(5).backward()
        outputs[index].backward(synthetic.detach())
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-10, atol=1e-12)
    pairs = zip([*ours.parameters(), *made.parameters()], [*theirs.parameters(), *twins.parameters()], strict=True)
    for mine, other in pairs:
        assert (mine.grad is None) == (other.grad is None)
        if other.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (3, 7), (7, 4, 5)])
@pytest.mark.parametrize("classes", [0, 6])
def test_a_synthesizer_starts_at_zero_and_keeps_shapes(shape: tuple[int, ...], classes: int) -> None:
    features, label = torch.randn(4, *shape), torch.eye(6)[:4]
    for hidden_layers in (0, 1, 2):
        synthesizer = Synthesizer(shape, classes, hidden_layers=hidden_layers)
        first = synthesizer(features, label)
        assert first.shape == features.shape
        if hidden_layers or not classes:
            assert not first.any()
        for value in synthesizer.parameters():
            nn.init.normal_(value)
        changed = synthesizer(features, label.flip(0))
        assert torch.equal(changed, synthesizer(features, label)) == (classes == 0)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"network": "cascade-linear", "depth": 3}, "network = 'cascade-linear' .*legal: pipeline"),
        ({"micro_batches": 2}, "micro_batches = 2 .*legal: 1"),
        ({"compile": True, "passes": ["latency"]}, "compile = True .*legal: False"),
    ],
)
def test_cells_that_it_cannot_mean_are_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell_of(**{"network": "pipeline-conv", **axes})


def test_a_prediction_is_that_of_the_last_head() -> None:
    step = build_step(cell := cell_of("pipeline-conv", passes=["inference"]), *shape_of(cell))
    step.network.eval()
    images = torch.randn(4, 1, 8, 8)
    *before, last = step.logits_by_module(step.network, images)
    assert before == [None, None]
    torch.testing.assert_close(predict(step, images), last.detach() if last is not None else None, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [4, 16])
@pytest.mark.long
def test_the_activations_held_do_not_grow_with_depth(depth: int) -> None:
    def peak(method: str, layers: int) -> int:
        sizes = {"depth": layers, "modules": layers, "width": 64, "batch_size": 128}
        cell = cell_of("pipeline-linear", method=method, **sizes)
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(step, images, labels, ask_allocator=False).peak_activation_bytes

    assert peak("dni", depth) == peak("dni", 3)
    assert depth == 4 or peak("dni", depth) < peak("bp-plain", depth)
