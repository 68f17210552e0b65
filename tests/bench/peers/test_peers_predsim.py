"""PredSim compared with numbers that the authors' public code gave, and held to one stage's bytes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peer_golden import OF_STEPS, PeerGolden, assert_golden, load_weights
from torch import Tensor, nn

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.networks.heads import Features
from bench.train.networks.pooled_heads import MOST_INPUTS, pooled_head, window
from bench.train.rules.peers.predsim import similarity, similarity_loss, similarity_maps, train_each_stage
from bench.train.rules.without_beliefs import logits_by_module
from bench.train.step import build_step
from sid_core import Pipeline

GOLDEN = PeerGolden("predsim")
CONFIG = GOLDEN.meta["config"]
CLASSES = CONFIG["classes"]
BETA = {"default_sgd": 0.99, "override_sgd": 0.6}
OUTPUTS: list[Features] = [(8, 8, 8), (12, 4, 4), (16,)]
BLOCKS = GOLDEN.meta["blocks"]
NOISE = {f"{block}.encoder.bias" for block in BLOCKS}  # a BatchNorm follows


def built(case: str) -> tuple[Pipeline, nn.ModuleList, dict[str, nn.Parameter]]:
    """The authors' network with their initial weights, its maps, and each of its parameters by their name.

    Their output layer, which is a classifier on the last block's output, is a stage without weights and its head.
    """
    stages = [
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 16), nn.BatchNorm1d(16), nn.ReLU()),
        nn.Identity(),
    ]
    outputs = [*OUTPUTS, OUTPUTS[-1]]
    heads: list[nn.Module] = [pooled_head(shape, CLASSES, CONFIG["dim_in_decoder"]) for shape in outputs]
    network = Pipeline(stages, heads, CLASSES)
    maps = similarity_maps(network, (3, 8, 8))
    names: dict[str, str] = {}
    for index, (block, layer) in enumerate(zip(BLOCKS, (0, 1, 2), strict=True)):
        for part, at in (("encoder", layer), ("bn", layer + 1)):
            names |= {
                f"local_modules.{index}.stage.{at}.{kind}": f"{block}.{part}.{kind}" for kind in ("weight", "bias")
            }
        names |= {
            f"local_modules.{index}.head.first.{kind}": f"{block}.decoder_y.{kind}" for kind in ("weight", "bias")
        }
    names |= {f"local_modules.3.head.first.{kind}": f"classifier.layer_out.{kind}" for kind in ("weight", "bias")}
    own = {
        f"{index}.weight": f"{block}.{'conv' if index < 2 else 'linear'}_loss.weight"
        for index, block in enumerate(BLOCKS)
    }
    golden = GOLDEN.group(f"{case}/init")
    load_weights(network, golden, names)
    load_weights(maps, golden, own)
    parameters = {theirs: network.get_parameter(mine) for mine, theirs in names.items()}
    return network, maps, parameters | {theirs: maps.get_parameter(mine) for mine, theirs in own.items()}


def train(optimizer: torch.optim.Optimizer, network: Pipeline, maps: nn.ModuleList, beta: float) -> list[float]:
    """Three steps in float64, whose results do not depend on how a processor rounds.

    Gives their losses without the similarity at the stage that stands for the output layer.
    """
    network.double()
    maps.double()
    images, losses = GOLDEN["x"].double(), []
    for _ in range(CONFIG["steps"]):
        optimizer.zero_grad()
        loss = train_each_stage(network, images, GOLDEN["y"], None, auxiliary=maps, beta=beta)
        losses.append(float(loss - beta * similarity_of_output(network, maps, images)))
        optimizer.step()
    return losses


@torch.no_grad()
def similarity_of_output(network: Pipeline, maps: nn.ModuleList, features: Tensor) -> Tensor:
    for module in network.local_modules:
        features = module.stage(features)
    return similarity_loss(maps[3](features), GOLDEN["y"], CLASSES)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.mark.parametrize("case", BETA)
def test_logits_similarities_and_gradients_of_the_first_step_are_the_authors(case: str) -> None:
    network, maps, parameters = built(case)
    *_, logits = logits_by_module(network, GOLDEN["x"])
    assert_golden({"logits": logits}, {"logits": GOLDEN[f"{case}/logits0"]})
    features = GOLDEN["x"]
    for module, own, block in zip(network.local_modules, maps, BLOCKS, strict=False):
        features = module.stage(features)
        assert_golden({"features": similarity(own(features))}, {"features": GOLDEN[f"{case}/sim0/{block}/features"]})
    network, maps, parameters = built(case)
    train_each_stage(network, GOLDEN["x"], GOLDEN["y"], None, auxiliary=maps, beta=BETA[case])
    gradients = {name: value.grad for name, value in parameters.items()}
    assert_golden(gradients, GOLDEN.group(f"{case}/grad0"), NOISE)


@pytest.mark.parametrize("case", BETA)
def test_losses_and_weights_of_three_steps_are_the_authors(case: str) -> None:
    network, maps, parameters = built(case)
    losses = train(sgd([*network.parameters(), *maps.parameters()]), network, maps, BETA[case])
    # Of each block prediction and similarity, then the output layer's cross-entropy, it with its weight, and a sum.
    expected = GOLDEN[f"{case}/losses"][:, -1] + GOLDEN[f"{case}/losses"][:, -2]
    assert losses == pytest.approx(expected.tolist(), rel=1e-5)
    assert_golden(parameters, GOLDEN.group(f"{case}/final"), NOISE, tolerance=OF_STEPS)


def test_weights_after_three_steps_of_adam_are_the_authors() -> None:
    network, maps, parameters = built("default_sgd")
    optimizer = torch.optim.Adam([*network.parameters(), *maps.parameters()], lr=CONFIG["default_adam"]["lr"])
    losses = train(optimizer, network, maps, CONFIG["default_adam"]["beta"])
    expected = GOLDEN["default_adam/losses"]
    assert losses == pytest.approx((expected[:, -1] + expected[:, -2]).tolist(), rel=1e-5)
    # Adam makes steps of noise, so biases before a BatchNorm are left out.
    golden = {name: value for name, value in GOLDEN.group("default_adam/final").items() if name not in NOISE}
    assert_golden(parameters, golden, tolerance=OF_STEPS)


@pytest.mark.parametrize("kind", ["conv", "conv3ch", "flat"])
def test_similarity_matching_alone_is_the_authors(kind: str) -> None:
    features = GOLDEN[f"sim/{kind}/features"].requires_grad_()
    assert_golden({"R": similarity(features)}, {"R": GOLDEN[f"sim/{kind}/R"]})
    loss = similarity_loss(features, GOLDEN["y"], CLASSES)
    loss.backward()
    assert_golden(
        {"loss": loss, "grad": features.grad},
        {"loss": GOLDEN[f"sim/{kind}/loss"], "grad": GOLDEN[f"sim/{kind}/grad_features"]},
    )


@given(st.integers(1, 600), st.integers(1, 70), st.integers(1, 70), st.integers(1, 5000))
def test_features_are_pooled_to_as_few_numbers_as_asked(channels: int, height: int, width: int, most: int) -> None:
    chosen = window(channels, height, width, most)
    pooled = nn.AvgPool2d(chosen.kernel, padding=chosen.padding)(torch.zeros(1, 1, height, width))
    assert tuple(pooled.shape[2:]) == chosen.sides
    assert channels * pooled.numel() <= most or chosen.sides[0] == 1
    assert chosen.kernel == (1, 1) or channels * height * width > most


@pytest.mark.parametrize("features", [(64, 32, 32), (512, 2, 2), (65, 192), (16,)])
def test_a_predictor_starts_at_zero_and_takes_each_kind_of_features(features: Features) -> None:
    head = pooled_head(features, CLASSES)
    assert head.first.in_features <= MOST_INPUTS
    logits = head(torch.full((2, CLASSES), 1 / CLASSES), torch.randn(2, *features))
    torch.testing.assert_close(logits, head.first.bias.expand(2, CLASSES))


def test_similarities_are_in_float32_under_autocast() -> None:
    features, labels = torch.randn(8, 16, 4, 4), torch.randint(CLASSES, (8,))
    with torch.autocast("cpu", torch.bfloat16):
        narrow = similarity_loss(features.bfloat16(), labels, CLASSES)
    torch.testing.assert_close(narrow, similarity_loss(features.bfloat16().float(), labels, CLASSES), rtol=1e-6, atol=0)


def test_what_has_no_meaning_is_refused() -> None:
    values = {"method": "predsim", "network": "pipeline-conv", "dataset": "random", "image_size": 8}
    values |= {"passes": ["memory"]}
    assert make_cell(values).head == "pooled"
    assert make_cell(values | {"head": "linear"}).head == "linear"
    with pytest.raises(ConfigError, match="network = 'cascade-conv' for method 'predsim', a cascade; legal: pipeline"):
        make_cell(values | {"network": "cascade-conv", "head": "linear"})
    with pytest.raises(ConfigError, match="micro_batches = 2 for method 'predsim', whose loss compares the samples"):
        make_cell(values | {"micro_batches": 2})


def test_the_authors_settings_are_an_alias() -> None:
    cell = make_cell({"method": "predsim-authors", "network": "pipeline-conv", "passes": ["memory"]})
    assert (cell.method, cell.learning_rate, cell.schedule) == ("predsim", 5e-4, "cosine")


def test_the_activations_of_one_stage_are_held_at_a_time() -> None:
    def peak(method: str, depth: int) -> int:
        axes = {"network": "pipeline-linear", "dataset": "random", "depth": depth, "modules": depth, "width": 64}
        cell = make_cell({"method": method, **axes, "batch_size": 128, "passes": ["memory"]})
        shape, classes = shape_of(cell)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(
            build_step(cell, shape, classes), images, labels, ask_allocator=False
        ).peak_activation_bytes

    assert peak("predsim", 16) == peak("predsim", 4)
    assert peak("predsim", 16) < peak("bp", 16) / 2
