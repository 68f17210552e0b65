"""InfoPro compared with numbers that the authors' public code gave, and held to one stage's bytes."""

from typing import Any

import pytest
import torch
from peer_golden import PeerGolden, assert_golden, load_weights
from torch import Tensor, nn
from torch.nn import functional as F

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.networks.decoders import Decoder
from bench.train.networks.heads import Features
from bench.train.networks.one_convolution_heads import one_convolution_head, projection
from bench.train.rules.peers.infopro import (
    AUTHORS_WEIGHTS,
    contrastive_loss,
    reconstruction_loss,
    train_with_contrast,
    train_with_cross_entropy,
    weights_of_stages,
)
from bench.train.rules.without_beliefs import logits_by_module
from bench.train.step import build_step
from sid_core import Pipeline

GOLDEN = PeerGolden("infopro")
CONFIG = GOLDEN.meta["config"]
CLASSES, WIDEN, LINEAR = CONFIG["classes"], CONFIG["aux_net_widen"], CONFIG["aux_net_feature_dim"]
SHAPE = (3, 8, 8)
WEIGHTS = ((5, 0.05), (0.2, 0.5))
OUTPUTS: list[Features] = [(16, 8, 8), (16, 4, 4), (16, 2, 2)]
MEAN, DEVIATION = (torch.tensor(values).view(1, 3, 1, 1) / 255 for values in GOLDEN.meta["image_mean_std_255"])
PIXELS = GOLDEN["x"] * DEVIATION + MEAN
# A contrastive loss has a temperature of 0.07, which makes rounding larger.
TOLERANCE = {"contrast": 5e-5, "cross_entropy": 1e-5}
CLASSIFIER = {"body.0": "0", "body.1": "1", "first": "5", "rest.1": "7"}
PROJECTION = {"0.0": "0", "0.1": "1", "1": "5", "2.1": "7"}


class Block(nn.Module):
    """A basic residual block."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(16, 16, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        shortcut = [nn.Conv2d(16, 16, 1, 2, bias=False), nn.BatchNorm2d(16)]
        self.downsample = nn.Sequential(*(shortcut if stride == 2 else []))

    def forward(self, features: Tensor) -> Tensor:
        """``[B, 16, H, W]`` for the same, or for twice the side."""
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        return F.relu(inner + self.downsample(features))


def names_in(module: nn.Module, parts: dict[str, str], prefix: str) -> dict[str, str]:
    """The authors' names of the parameters of ``module``, whose parts have other names."""
    found = {}
    for own, _ in module.named_parameters():
        part, _, kind = own.rpartition(".")
        if part in parts:
            found[own] = f"{prefix}.{parts[part]}.{kind}"
    return found


def built(case: str) -> tuple[Pipeline, Any, dict[str, nn.Parameter]]:
    """The authors' network with their initial weights, what is beside it, and each of its parameters by their name."""
    entrance = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    stages = [nn.Sequential(*entrance, Block(1)), Block(2), Block(2)]
    heads = [one_convolution_head(shape, CLASSES, at, 3, WIDEN, LINEAR) for at, shape in enumerate(OUTPUTS, 1)]
    network = Pipeline(stages, heads, CLASSES)
    decoders = nn.ModuleList(Decoder(shape, SHAPE, WIDEN) for shape in OUTPUTS[:-1])
    projections = nn.ModuleList(projection(shape, LINEAR, WIDEN) for shape in OUTPUTS[:-1])
    golden = GOLDEN.group("contrast/init") | GOLDEN.group(f"{case}/init")
    parameters: dict[str, nn.Parameter] = {}

    def take(module: nn.Module, names: dict[str, str]) -> None:
        load_weights(module, golden, names)
        parameters.update({theirs: module.get_parameter(own) for own, theirs in names.items()})

    take(stages[0], {"0.weight": "conv1.weight", "1.weight": "bn1.weight", "1.bias": "bn1.bias"})
    for number, block in enumerate([stages[0][3], *stages[1:]], 1):  # type: ignore[index]
        take(block, {own: f"layer{number}.0.{own}" for own, _ in block.named_parameters()})
    take(heads[2], {"first.weight": "fc.weight", "first.bias": "fc.bias"})
    for number, (decoder, projected, head) in enumerate(zip(decoders, projections, heads, strict=False), 1):
        take(decoder, {own: f"decoder_{number}_0.{own}" for own, _ in decoder.named_parameters()})
        where = f"aux_classifier_{number}_0.head"
        if case == "contrast":
            take(projected, names_in(projected, PROJECTION, where))
        else:
            take(head, names_in(head, CLASSIFIER, where))
    beside = nn.ModuleDict({"decoders": decoders, "projections": projections}) if case == "contrast" else decoders
    return network, beside, parameters


def step(case: str, network: Pipeline, beside: Any) -> Tensor:
    rule = train_with_contrast if case == "contrast" else train_with_cross_entropy
    return rule(network, GOLDEN["x"], GOLDEN["y"], None, pixels=PIXELS, auxiliary=beside, weights=WEIGHTS)


def loss_of(case: str) -> Tensor:
    """The golden loss of each step: all stages, with their weights."""
    pairs = weights_of_stages(3, WEIGHTS)
    total = GOLDEN[f"{case}/loss_ce"].clone()
    for index, (of_reconstruction, of_task) in enumerate(pairs):
        total += of_reconstruction * GOLDEN[f"{case}/loss_ixx"][:, index]
        total += of_task * GOLDEN[f"{case}/loss_ixy"][:, index]
    return total


@pytest.mark.parametrize("case", TOLERANCE)
def test_logits_and_gradients_of_the_first_step_are_the_authors(case: str) -> None:
    network, beside, parameters = built(case)
    *_, logits = logits_by_module(network, GOLDEN["x"])
    assert_golden({"logits": logits}, {"logits": GOLDEN[f"{case}/logits0"]})
    network, beside, parameters = built(case)
    step(case, network, beside)
    gradients = {name: value.grad for name, value in parameters.items()}
    noise = {f"decoder_{number}_0.decoder.0.bias" for number in (1, 2)}  # a BatchNorm follows
    assert_golden(gradients, GOLDEN.group(f"{case}/grad0"), noise, TOLERANCE[case])


@pytest.mark.parametrize("case", TOLERANCE)
def test_the_losses_of_three_steps_are_the_authors(case: str) -> None:
    network, beside, parameters = built(case)
    chosen = CONFIG["optimizer"]
    optimizer = torch.optim.SGD(
        parameters.values(), chosen["lr"], chosen["momentum"], weight_decay=chosen["weight_decay"], nesterov=True
    )
    losses = []
    for _ in range(chosen["steps"]):
        optimizer.zero_grad()
        losses.append(float(step(case, network, beside)))
        optimizer.step()
    assert losses == pytest.approx(loss_of(case).tolist(), rel=1e-5)


@pytest.mark.parametrize("settings", CONFIG["heads_alone"], ids=lambda settings: settings["prefix"])
def test_a_decoder_alone_is_the_authors(settings: dict[str, Any]) -> None:
    golden, prefix = GOLDEN, settings["prefix"]
    features = golden[f"{prefix}/features"].clone().requires_grad_()
    decoder = Decoder(tuple(features.shape[1:]), SHAPE, settings["widen"])
    names = {own: own for own, _ in decoder.named_parameters()}
    load_weights(decoder, golden.group(f"{prefix}/decoder/init"), names)
    loss = reconstruction_loss(decoder(features), golden[f"{prefix}/image01"])
    (settings["lambda1"] * loss).backward()
    found = {"loss": loss, "features": features.grad}
    assert_golden(
        found, {"loss": golden[f"{prefix}/decoder/loss"], "features": golden[f"{prefix}/decoder/grad_features"]}
    )
    gradients = {own: value.grad for own, value in decoder.named_parameters()}
    assert_golden(gradients, golden.group(f"{prefix}/decoder/grad"), {"decoder.0.bias"})


@pytest.mark.parametrize("task", TOLERANCE)
def test_a_head_alone_is_the_authors(task: str) -> None:
    settings, prefix = CONFIG["heads_alone"][0], "heads_1c2f_32"
    features = GOLDEN[f"{prefix}/features"].clone().requires_grad_()
    shape = tuple(features.shape[1:])
    if task == "contrast":
        network: nn.Module = projection(shape, LINEAR, settings["widen"])
        names = names_in(network, PROJECTION, "head")
    else:
        network = one_convolution_head(shape, CLASSES, 1, 2, settings["widen"], LINEAR)
        names = names_in(network, CLASSIFIER, "head")
    load_weights(network, GOLDEN.group(f"{prefix}/{task}/init"), names)
    labels = GOLDEN[f"{prefix}/y"]
    if task == "contrast":
        loss = contrastive_loss(network(features), labels)
    else:
        loss = F.cross_entropy(network(torch.full((len(labels), CLASSES), 1 / CLASSES), features), labels)
    (settings["lambda2"] * loss).backward()
    expected = {"loss": GOLDEN[f"{prefix}/{task}/loss"], "features": GOLDEN[f"{prefix}/{task}/grad_features"]}
    assert_golden({"loss": loss, "features": features.grad}, expected, tolerance=TOLERANCE[task])
    gradients = {theirs: network.get_parameter(own).grad for own, theirs in names.items()}
    assert_golden(gradients, GOLDEN.group(f"{prefix}/{task}/grad"), tolerance=TOLERANCE[task])


def test_the_head_of_the_last_stage_is_the_authors_0c1f() -> None:
    features = GOLDEN["heads_0c1f_16/features"].clone().requires_grad_()
    head = one_convolution_head((16, 6, 6), CLASSES, stage=2, stages=2)
    names = {"first.weight": "head.2.weight", "first.bias": "head.2.bias"}
    load_weights(head, GOLDEN.group("heads_0c1f_16/cross_entropy/init"), names)
    loss = F.cross_entropy(head(torch.full((6, CLASSES), 1 / CLASSES), features), GOLDEN["heads_0c1f_16/y"])
    (CONFIG["heads_alone"][1]["lambda2"] * loss).backward()
    golden = GOLDEN.group("heads_0c1f_16/cross_entropy")
    found = {"loss": loss, "grad_features": features.grad}
    found |= {f"grad/{theirs}": head.get_parameter(own).grad for own, theirs in names.items()}
    assert_golden(found, {name: golden[name] for name in found})


def test_the_contrastive_loss_alone_is_the_authors() -> None:
    embeddings = GOLDEN["supcon/embeddings_unnormalised"].clone().requires_grad_()
    loss = contrastive_loss(embeddings, GOLDEN["supcon/y"])
    loss.backward()
    expected = {"loss": GOLDEN["supcon/loss"], "grad": GOLDEN["supcon/grad_embeddings_unnormalised"]}
    assert_golden({"loss": loss, "grad": embeddings.grad}, expected)


def test_a_sample_without_partners_adds_nothing_to_the_contrastive_loss() -> None:
    embeddings = torch.randn(1, 4, requires_grad=True)
    loss = contrastive_loss(embeddings, torch.tensor([2]))
    loss.backward()
    assert loss == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()
    pair = torch.randn(3, 4)
    labels = torch.tensor([0, 0, 1])
    first, second, third = F.normalize(pair, dim=1)
    near, far = (first @ second / 0.07).exp(), (first @ third / 0.07).exp()
    of_second = (second @ third / 0.07).exp()
    expected = -((near / (near + far)).log() + (near / (near + of_second)).log()) / 3
    torch.testing.assert_close(contrastive_loss(pair, labels), expected, rtol=1e-4, atol=1e-6)


def test_weights_go_from_the_first_stage_to_the_last_but_one() -> None:
    assert weights_of_stages(1) == []
    assert weights_of_stages(2) == [(5, 1)]
    assert weights_of_stages(4) == [(6, 0), (3.5, 1), (1, 2)]
    assert weights_of_stages(3) == [(6, 0), (1, 2)]
    assert weights_of_stages(40)[-1] == pytest.approx(AUTHORS_WEIGHTS[16][1])
    assert len(weights_of_stages(40)) == 39


@pytest.mark.parametrize(
    ("features", "shape"),
    [
        ((6, 5, 7), (3, 8, 4)),
        ((6, 1, 1), (1, 9, 5)),
        ((9, 6), (3, 8, 8)),
        ((10, 6), (3, 8, 8)),
        ((32, 6), (1, 16, 8)),
        ((5,), (2, 3, 4)),
    ],
    ids=str,
)
def test_a_decoder_takes_maps_tokens_and_rows(features: Features, shape: tuple[int, int, int]) -> None:
    decoder = Decoder(features, shape)
    given = torch.randn(2, *features, requires_grad=True)
    decoded = decoder(given)
    assert decoded.shape == (2, *shape)
    decoded.square().sum().backward()
    assert given.grad is not None
    of_class_token = given.grad[:, 0] if features == (10, 6) else torch.zeros(1)
    assert not of_class_token.any()


def test_tokens_that_are_no_grid_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"features \[B, 8, 6\] cannot be decoded to images of 8x8 pixels; legal: tok"
    ):
        Decoder((8, 6), (3, 8, 8))


def test_what_has_no_meaning_is_refused() -> None:
    values = {"network": "pipeline-conv", "dataset": "random", "image_size": 8, "passes": ["memory"]}
    for method in ("infopro", "infopro-contrast"):
        assert make_cell(values | {"method": method}).head == "1c2f"
        with pytest.raises(ConfigError, match=f"network = 'cascade-conv' for method '{method}', a cascade; legal: pip"):
            make_cell(values | {"method": method, "network": "cascade-conv", "head": "linear"})
    assert make_cell(values | {"method": "infopro", "micro_batches": 2}).micro_batches == 2
    with pytest.raises(ConfigError, match="micro_batches = 2 for method 'infopro-contrast', whose loss compares"):
        make_cell(values | {"method": "infopro-contrast", "micro_batches": 2})


@pytest.mark.parametrize(("batch_size", "rate"), [({}, 0.1), ({"batch_size": 1024}, 0.8)])
def test_the_authors_settings_are_an_alias(batch_size: dict[str, int], rate: float) -> None:
    cell = make_cell({"method": "infopro-authors", "network": "pipeline-conv", "passes": ["memory"], **batch_size})
    assert (cell.method, cell.optimizer, cell.weight_decay) == ("infopro-contrast", "sgd", 1e-4)
    assert cell.learning_rate == pytest.approx(rate)


def test_heads_that_the_contrastive_loss_does_not_run_have_no_gradients() -> None:
    axes = {"network": "pipeline-conv", "dataset": "random", "image_size": 8, "modules": 3, "batch_size": 4}
    cell = make_cell({"method": "infopro-contrast", **axes, "passes": ["memory"]})
    shape, classes = shape_of(cell)
    training = build_step(cell, shape, classes)
    images = torch.randn(4, *shape)
    training(images, torch.randint(classes, (4,)))
    *before, last = training.network.local_modules
    assert all(value.grad is None for module in before for value in module.head.parameters())
    assert all(value.grad is not None for value in last.head.parameters())
    logits = list(training.logits_by_module(training.network, images))
    assert [value is None for value in logits] == [True, True, False]


@pytest.mark.parametrize("method", ["infopro", "infopro-contrast"])
@pytest.mark.long
def test_the_activations_of_one_stage_are_held_at_a_time(method: str) -> None:
    def peak(method: str, depth: int) -> int:
        axes = {"network": "pipeline-linear", "dataset": "random", "depth": depth, "modules": depth, "width": 64}
        cell = make_cell({"method": method, **axes, "batch_size": 128, "passes": ["memory"]})
        shape, classes = shape_of(cell)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(
            build_step(cell, shape, classes), images, labels, ask_allocator=False
        ).peak_activation_bytes

    assert peak(method, 16) == peak(method, 4)
