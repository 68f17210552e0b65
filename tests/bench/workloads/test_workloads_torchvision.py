"""Models of torchvision as units and a head: the same logits, bit for bit, and units that can run again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from bench.config.backbones import BACKBONES
from bench.train.networks.torchvision_models import build_model, parts_of, units_of, usual_head
from sid_core.steps.recompute import run_in_segments

NAMES = [backbone.name for backbone in BACKBONES.values() if backbone.torchvision_file]
# For each file of torchvision, its model with the fewest units.
SMALLEST = {
    BACKBONES[name].torchvision_file: name
    for name in sorted(NAMES, key=lambda name: BACKBONES[name].units, reverse=True)
}.values()
HAVE_SMALL_IMAGES = [name for name in SMALLEST if BACKBONES[name].refuse_sides(32, 32) is None]
# To fill and to run models with more parameters takes seconds for each.
MANY_PARAMETERS = 45_000_000


def is_quick(name: str) -> bool:
    parameters: int = models.get_model_weights(name)["DEFAULT"].meta["num_params"]
    return name in SMALLEST or parameters < MANY_PARAMETERS


each_quick_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if is_quick(name) else pytest.mark.slow) for name in NAMES]
)
each_family = pytest.mark.parametrize("name", SMALLEST)
# Models of one file are cut alike, and differ in depth and width.
one_model_per_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SMALLEST else pytest.mark.slow) for name in NAMES]
)


def legal_side(name: str, least: int) -> int:
    """The side of the smallest square images of ``least`` pixels or more that ``name`` takes."""
    return next(side for side in count(least) if BACKBONES[name].refuse_sides(side, side) is None)


def large_side(name: str) -> int:
    """The side of the smallest images that torchvision's own layout is used for."""
    return legal_side(name, 65)


def torchvision_model(name: str, side: int) -> nn.Module:
    """The model as torchvision builds it, for images of ``side`` pixels where it has to know them."""
    options: dict[str, Any] = {}
    if name.startswith("vit"):
        options["image_size"] = side
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    model: nn.Module = models.get_model(name, weights=None, num_classes=7, **options)
    return model


@contextmanager
def no_initial_weights() -> Iterator[None]:
    """Leaves parameters as they are allocated: initialising these models would take minutes."""
    functions = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    with ExitStack() as stack:
        for name in functions:
            stack.enter_context(patch.object(nn.init, name, lambda tensor, *_args, **_options: tensor))
        yield


def fill(model: nn.Module) -> None:
    """Sets every parameter and running statistic to other numbers, such that activations neither vanish nor explode."""
    pool = torch.rand(1_000_003, generator=torch.Generator().manual_seed(0))

    def numbers(like: Tensor, low: float, high: float) -> Tensor:
        repeated = pool.repeat(-(-like.numel() // len(pool)))[: like.numel()]
        return repeated.view(like.shape) * (high - low) + low

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            limit = 0.1 if parameter.dim() < 2 else (6 / (parameter[0].numel())) ** 0.5
            centre = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            parameter.copy_(numbers(parameter, centre - limit, centre + limit))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(numbers(buffer, -0.1, 0.1))
            elif name.endswith("running_var"):
                buffer.copy_(numbers(buffer, 0.5, 1.5))


def run(units: list[nn.Module], features: Tensor) -> Tensor:
    for unit in units:
        features = unit(features)
    return features


def assert_same_logits(name: str, model: nn.Module, side: int) -> None:
    model.eval()
    units, head = parts_of(name, model)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images)
        found = head(run(units, images))
    assert expected.shape == (2, 7)
    assert expected.isfinite().all()
    assert not torch.equal(expected[0], expected[1])
    assert torch.equal(found, expected)


def test_every_classification_model_of_torchvision_is_a_backbone() -> None:
    assert set(models.list_models(models)) == set(NAMES)


@pytest.mark.long
@one_model_per_family
def test_units_and_head_give_torchvisions_logits(name: str) -> None:
    side = large_side(name)
    with no_initial_weights():
        model = torchvision_model(name, side)
    fill(model)
    assert_same_logits(name, model, side)


@pytest.mark.long
@pytest.mark.parametrize("name", HAVE_SMALL_IMAGES)
def test_units_and_head_give_the_logits_of_the_small_variant(name: str) -> None:
    with no_initial_weights():
        model = build_model(name, (3, 32, 32), 7)
    fill(model)
    assert_same_logits(name, model, 32)


def on_meta_tensors(name: str) -> tuple[list[Tensor], list[Tensor], list[int]]:
    """The inputs of the units of ``name`` for large images of two channels, their outputs, and writes into inputs."""
    side = large_side(name)
    inputs, outputs, writes = [], [], []
    with torch.device("meta"):
        units = units_of(name, (2, side, side))
        features = torch.empty(2, 2, side, side)
        for unit in units:
            inputs.append(features.detach())
            before = features._version
            outputs.append(unit(inputs[-1]).detach())
            writes.append(inputs[-1]._version - before)
            features = outputs[-1]
    return inputs, outputs, writes


@each_quick_model
@pytest.mark.long
def test_a_model_has_the_units_that_the_table_says(name: str) -> None:
    side = large_side(name)
    with torch.device("meta"):
        units = units_of(name, (2, side, side))
    assert len(units) == BACKBONES[name].units


@pytest.mark.long
@one_model_per_family
def test_no_unit_writes_into_its_input_or_hands_it_on(name: str) -> None:
    inputs, outputs, writes = on_meta_tensors(name)
    assert not any(writes)
    assert all(features.dim() == (3 if name.startswith("vit") else 4) for features in outputs)
    for before, after in zip(inputs, outputs, strict=True):
        assert before.untyped_storage()._cdata != after.untyped_storage()._cdata


@each_family
def test_large_images_of_three_channels_get_torchvisions_parameters(name: str) -> None:
    side = large_side(name)
    with torch.device("meta"):
        units = units_of(name, (3, side, side))
    with no_initial_weights():
        own, _ = parts_of(name, torchvision_model(name, side))

    def shapes(of: list[nn.Module]) -> list[tuple[str, torch.Size]]:
        return [(key, tensor.shape) for key, tensor in nn.ModuleList(of).state_dict().items()]

    assert shapes(units) == shapes(own)


@pytest.mark.long
@each_family
def test_units_keep_no_more_for_the_backward_pass_than_the_model(name: str) -> None:
    side = legal_side(name, 16)
    with torch.device("meta"):
        model = build_model(name, (3, side, side), 7)
        units, head = parts_of(name, model)
        images = torch.empty(2, 3, side, side)
    existing = {tensor.untyped_storage()._cdata for tensor in [images, *model.parameters(), *model.buffers()]}

    def kept_bytes(function: Callable[[Tensor], Tensor]) -> int:
        kept: dict[int, torch.UntypedStorage] = {}  # held, so that no later storage has the address of one of them

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            function(images)
        return sum(storage.nbytes() for address, storage in kept.items() if address not in existing)

    assert 0 < kept_bytes(lambda features: head(run(units, features))) <= kept_bytes(model)


@pytest.mark.long
@pytest.mark.parametrize("name", HAVE_SMALL_IMAGES)
def test_small_images_of_one_channel_leave_features(name: str) -> None:
    with torch.device("meta"):
        features = run(units_of(name, (1, 32, 32)), torch.empty(2, 1, 32, 32))
        logits = usual_head(name, (1, 32, 32), 5)(features)
    assert logits.shape == (2, 5)
    assert features.numel() > 0


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.startswith("maxvit") else [])  # its images are large
        for name in SMALLEST
    ],
)
def test_units_run_again_give_the_gradients_of_one_run(name: str) -> None:
    """Checkpoints around units, with BatchNorm, dropout and stochastic depth as in training."""
    side = legal_side(name, 16)
    with no_initial_weights():
        units = units_of(name, (3, side, side))
    fill(nn.ModuleList(units))
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    parameters = list(nn.ModuleList(units).parameters())
    gradients = []
    for run_units in (run, run_in_segments):
        torch.manual_seed(0)
        features = run_units(units, images)
        features.square().mean().backward()
        gradients.append([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.grad = None
    for once, again in zip(*gradients, strict=True):
        assert once is not None
        assert torch.equal(once, again)


@pytest.mark.parametrize(
    "function", [lambda name: units_of(name, (3, 32, 32)), lambda name: usual_head(name, (3, 32, 32), 10)]
)
def test_a_model_that_torchvision_does_not_have_is_refused(function: Any) -> None:
    for name in ("resnet19", "vit-tiny"):
        with pytest.raises(ValueError, match=f"name = '{name}'; legal: alexnet, "):
            function(name)
