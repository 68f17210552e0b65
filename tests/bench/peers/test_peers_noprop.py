"""NoProp-DT compared with numbers of public code that follows the paper, and held to the paper's formulas."""

import math
from collections.abc import Iterator

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
from bench.train.rules.peers import noprop
from bench.train.rules.peers.noprop import (
    Embedding,
    Refinement,
    logits_by_module,
    noise_levels,
    refine,
    refinements,
    train_each_block,
)
from bench.train.step import build_step
from sid_core import Cascade

GOLDEN = PeerGolden("noprop")
BLOCKS, CLASSES, EMBEDDING = 3, 5, 7
THEIR_RULE = {"mean_over_embedding": True, "largest_snr": 100.0}
NETWORKS = ["cascade-linear", "cascade-conv"]


class TheirBlock(nn.Module):
    """The block of the public code, with the widths of the golden file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_image_embed = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1),
            *(nn.ReLU(), nn.MaxPool2d(2), nn.Identity()),
            nn.Conv2d(3, 4, 3, padding=1),
            *(nn.ReLU(), nn.Identity()),
            nn.Conv2d(4, 5, 3, padding=1),
            *(nn.ReLU(), nn.MaxPool2d(2), nn.Identity(), nn.Flatten()),
            *(nn.Linear(20, 6), nn.BatchNorm1d(6)),
        )
        self.fc_zt_embed_1 = nn.Sequential(nn.Linear(EMBEDDING, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.fc_zt_embed_2 = nn.Sequential(
            nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6)
        )
        self.fc_combined = nn.Sequential(
            nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()
        )
        self.logit_layer = nn.Linear(5, CLASSES)

    def forward(self, noisy: Tensor, images: Tensor) -> Tensor:
        first = self.fc_zt_embed_1(noisy)
        both = torch.cat((self.conv_image_embed(images), first + self.fc_zt_embed_2(first)), dim=1)
        logits: Tensor = self.logit_layer(self.fc_combined(both))
        return logits


def golden_network() -> tuple[nn.ModuleDict, dict[str, str]]:
    """Network and embedding with the golden weights, and their names in the golden file."""
    parts = nn.ModuleDict(
        {
            "network": Cascade(nn.Identity(), [TheirBlock() for _ in range(BLOCKS)], CLASSES),
            "auxiliary": Embedding(CLASSES, EMBEDDING),
        }
    )
    names = {
        name: name.replace("network.local_modules", "blocks")
        .replace("auxiliary.label", "embedding_matrix")
        .replace("auxiliary.output", "output_layer")
        for name, _ in parts.named_parameters()
    }
    load_weights(parts, GOLDEN.group("init"), names)
    return parts, names


def noise_in(parts: nn.ModuleDict, names: dict[str, str]) -> set[str]:
    """The golden names of biases that a BatchNorm cancels, those of the last BatchNorms of both paths included."""
    found = set()
    for path, module in parts.named_modules():
        if isinstance(module, nn.Sequential):
            for index, layer in enumerate(module[:-1]):
                if isinstance(layer, nn.Linear) and isinstance(module[index + 1], nn.BatchNorm1d):
                    found.add(names[f"{path}.{index}.bias"])
    ends = ("conv_image_embed.13.bias", "fc_zt_embed_2.4.bias")
    return found | {name for name in names.values() if name.endswith(ends)}


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that runs so many golden steps and yields after each, before the optimizer's update."""
    drawn: list[Tensor] = []

    def normal(*_args: object) -> Tensor:
        return drawn.pop(0)

    def run(parts: nn.ModuleDict, steps: int = BLOCKS) -> Iterator[float]:
        optimizer = torch.optim.SGD(parts.parameters(), GOLDEN.meta["config"]["optimizer"]["lr"])
        for step in range(steps):
            drawn.extend((GOLDEN["eps_T"][step], GOLDEN["eps_prev"][step]))
            optimizer.zero_grad()
            network, auxiliary = parts["network"], parts["auxiliary"]
            loss = train_each_block(
                network, GOLDEN["x"], GOLDEN["y"], None, auxiliary=auxiliary, blocks=[step + 1], **THEIR_RULE
            )
            yield float(loss)
            optimizer.step()

    monkeypatch.setattr(noprop, "_normal", normal)
    yield run
    assert not drawn


def test_losses_and_gradients_of_each_block_are_the_public_codes(train) -> None:  # type: ignore[no-untyped-def]
    parts, names = golden_network()
    for step, loss in enumerate(train(parts)):
        assert loss == pytest.approx(float(GOLDEN["losses"][step]), rel=1e-5)
        gradients = {names[name]: value.grad for name, value in parts.named_parameters()}
        expected = GOLDEN.group(f"grad{step}")
        # Noise of up to 6e-5 was recorded, see the tolerance of final weights.
        exact = {name: value for name, value in expected.items() if name not in noise_in(parts, names)}
        assert_golden(gradients, exact)
        assert_golden(gradients, {name: expected[name] for name in expected if name not in exact}, expected, 1e-4)
        assert {name for name, value in gradients.items() if value is not None} == set(expected)


def test_weights_after_three_steps_are_the_public_codes(train) -> None:  # type: ignore[no-untyped-def]
    parts, names = golden_network()
    assert len(list(train(parts))) == BLOCKS
    assert_golden({names[name]: value for name, value in parts.named_parameters()}, GOLDEN.group("final"))


def test_a_prediction_is_the_public_codes_with_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, names = golden_network()
    load_weights(parts, GOLDEN.group("final"), names)
    noise = list(GOLDEN["inference/noise"])
    monkeypatch.setattr(noprop, "_normal", lambda *_args: noise.pop(0))
    theirs = zip(*(GOLDEN[f"inference/{name}"].tolist() for name in ("a_t", "b_t", "c_t_sqrt")), strict=True)
    steps = [Refinement(a, b, c**2) for a, b, c in theirs][1:]
    with torch.no_grad():
        *_, (_, last) = refine(parts["network"], GOLDEN["x"], parts["auxiliary"], steps)
        assert_golden({"logits": parts["auxiliary"].output(last)}, {"logits": GOLDEN["inference/logits"]})
    assert not noise


def test_noise_levels_are_the_public_codes() -> None:
    torch.testing.assert_close(torch.tensor(noise_levels(BLOCKS)), GOLDEN["alpha_bar"], rtol=1e-5, atol=1e-7)


@given(blocks=st.integers(1, 64))
def test_a_block_that_predicts_the_label_gives_the_next_blocks_input(blocks: int) -> None:
    levels = noise_levels(blocks)
    assert levels == sorted(levels)
    for number, step in enumerate(refinements(levels), 1):
        before, after = levels[number - 1], levels[number]
        # z_t has the mean sqrt(abar_t) u and the variance 1 - abar_t if u_t = u and z_{t-1} has those of t - 1.
        mean = step.of_prediction + step.of_input * math.sqrt(before)
        variance = step.of_input**2 * (1 - before) + step.of_noise
        assert mean == pytest.approx(math.sqrt(after), rel=1e-9)
        assert variance == pytest.approx(1 - after, rel=1e-6)


def cell_of(network: str, **axes: object) -> Cell:
    sizes = {"modules": 3, "depth": 3, "hidden": 9, "width": 7, "batch_size": 6, "dataset": "random", "image_size": 8}
    return make_cell({"method": "noprop", "network": network, **sizes, "passes": ["memory"], **axes})


@settings(max_examples=20, deadline=None)
@given(network=st.sampled_from(NETWORKS), seed=st.integers(0, 2**31), eta=st.floats(0.01, 2))
def test_gradients_are_those_of_the_papers_loss(network: str, seed: int, eta: float) -> None:
    cell = cell_of(network)
    torch.manual_seed(seed)
    auxiliary, twin = Embedding(10).double(), Embedding(10).double()
    twin.load_state_dict(auxiliary.state_dict())
    ours, theirs = (build_network(cell, *shape_of(cell)).double() for _ in range(2))
    images, labels = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.randint(10, (6,))
    torch.manual_seed(seed)
    loss = train_each_block(ours, images, labels, None, auxiliary=auxiliary, eta=eta)

    torch.manual_seed(seed)
    levels = noise_levels(3)
    ratios = [min(level / (1 - level), 100) for level in levels]
    clean = twin.label(labels)

    def noisy(level: float) -> Tensor:
        return level**0.5 * clean + (1 - level) ** 0.5 * torch.randn(6, 10, dtype=torch.float64)

    start = torch.distributions.Normal(levels[0] ** 0.5 * clean, (1 - levels[0]) ** 0.5)
    expected = F.cross_entropy(twin.output(noisy(levels[-1])), labels)
    expected = expected + torch.distributions.kl_divergence(start, torch.distributions.Normal(0, 1)).sum() / 6
    features = theirs.trunk(images)
    for number, module in enumerate(theirs.local_modules, 1):
        predicted = module(noisy(levels[number - 1]), features).softmax(1) @ twin.label.weight
        # T/2 eta times the mean over t
        part = 3 / 2 * eta / 3 * (ratios[number] - ratios[number - 1])
        expected = expected + part * (predicted - clean).square().sum() / 6
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-9, atol=1e-9)
    pairs = zip([*ours.parameters(), *auxiliary.parameters()], [*theirs.parameters(), *twin.parameters()], strict=True)
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-11)


def test_predictions_are_the_same_twice_and_leave_the_numbers_of_training_alone() -> None:
    cell = cell_of("cascade-linear", passes=["inference"])
    step = build_step(cell, *shape_of(cell))
    step.network.eval()
    images = torch.randn(5, 1, 8, 8)
    state = torch.get_rng_state()
    first, second = predict(step, images), predict(step, images)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    logits = list(step.logits_by_module(step.network, images))
    assert [None if each is None else each.shape for each in logits] == [(5, 10)] * 3
    assert not torch.allclose(first, step.network(images))


def test_the_last_logits_are_those_of_the_output_layer() -> None:
    network = build_network(cell := cell_of("cascade-conv"), *shape_of(cell))
    auxiliary = Embedding(10)
    with torch.no_grad():
        auxiliary.output.weight.zero_()
        auxiliary.output.bias.copy_(torch.arange(10.0))
    *before, last = logits_by_module(network, torch.randn(2, 1, 8, 8), auxiliary=auxiliary)
    torch.testing.assert_close(last, torch.arange(10.0).expand(2, 10))
    assert all(not torch.allclose(each, last) for each in before)


def test_a_pipeline_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network = 'pipeline-conv' for method 'noprop'.*legal: cascade"):
        make_cell({"method": "noprop", "network": "pipeline-conv"})


@pytest.mark.parametrize("modules", [4, 16])
def test_the_activations_of_one_block_are_held_at_a_time(modules: int) -> None:
    def peak(method: str) -> int:
        sizes = {"depth": modules, "modules": modules, "hidden": 256, "batch_size": 128, "image_size": None}
        cell = cell_of("cascade-linear", method=method, **sizes, dataset="digits")
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(step, images, labels, ask_allocator=False).peak_activation_bytes

    # Two more tensors [128, 256] would not fit between the two.
    assert peak("noprop") <= peak("sid-streamed-autograd") + 128 * 256 * 4
    assert modules == 4 or peak("noprop") < peak("bp") / 4
