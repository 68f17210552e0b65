"""Heads of a pipeline's stages: what each computes, that every rule trains it, and what is refused."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.heads import head_names
from bench.errors import ConfigError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.networks.augmented_heads import MOST_UNITS, sampled_places, units_in_head
from bench.train.networks.build import build_network
from bench.train.networks.heads import LaterUnits, PositionalHead, build_heads
from bench.train.step import build_step
from sid_core import BeliefNetwork, LocalModule, Pipeline, published_step, recomputed, streamed_step

# Each network with a legal image size, a number of stages, and heads that it does not take.
NETWORKS: dict[str, tuple[int, int, set[str]]] = {
    "pipeline-conv": (16, 3, set()),
    "pipeline-linear": (6, 2, {"conv"}),
    "pipeline-resnet18": (32, 4, set()),
    "pipeline-vit-tiny": (32, 3, {"conv", "aug"}),
}
TAKEN = [
    pytest.param(head, name, marks=[pytest.mark.slow] if name == "pipeline-resnet18" else [])
    for name, (_, _, refused) in NETWORKS.items()
    for head in head_names()
    if head not in refused
]


def make(head: str, network: str = "pipeline-conv", method: str = "bp", **axes: Any) -> Cell:
    size, modules, _ = NETWORKS[network]
    depth = {"depth": 4, "width": 8} if network == "pipeline-linear" else {}
    values = {"dataset": "random", "image_size": size, "modules": modules, "batch_size": 4, "passes": ["memory"]}
    return make_cell({"method": method, "network": network, "head": head, **values, **depth, **axes})


def built(cell: Cell) -> BeliefNetwork:
    return build_network(cell, *shape_of(cell))


def batch(cell: Cell, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    (shape, classes), count = shape_of(cell), cell.batch_size
    images = torch.randn(count, *shape, generator=generator, dtype=dtype)
    return images, torch.randint(classes, (count,), generator=generator)


def test_the_usual_head_changes_neither_ids_nor_weights() -> None:
    values = {"network": "pipeline-conv", "dataset": "random", "modules": 3, "passes": ["memory"]}
    assert make_cell(values).id == make_cell(values | {"head": "linear"}).id
    assert make_cell(values).id != make_cell(values | {"head": "mlp"}).id
    network = built(make("linear"))
    torch.manual_seed(0)
    units = list(built(make("linear", modules=5)).local_modules)
    stages = [nn.Sequential(*module.stage) for module in units]  # type: ignore[arg-type]
    cut = [stages[0], nn.Sequential(*stages[1:3]), nn.Sequential(*stages[3:])]
    torch.manual_seed(0)
    for stage in (layer for layers in cut for layer in layers.modules() if isinstance(layer, nn.Conv2d)):
        stage.reset_parameters()
    expected = Pipeline.with_heads(cut, [32, 64, 128], 10, 256)
    ours, theirs = list(network.parameters()), list(expected.parameters())
    assert [value.shape for value in ours] == [value.shape for value in theirs]
    assert all(type(module.head) is LocalModule for module in network.local_modules)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.long
@pytest.mark.parametrize(("head", "network"), TAKEN)
def test_every_head_is_trained_by_sid_as_published(head: str, network: str) -> None:
    cell = make(head, network)
    ours, theirs = built(cell).double(), built(cell).double()
    images, labels = batch(cell)
    streamed_step(ours, images, labels, 0.5)
    published_step(theirs, images, labels, 0.5)
    for (name, mine), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None, name
        torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-8, atol=1e-12)
    *_, last = ours.local_modules
    belief = last.head.belief.weight.grad if head != "linear" else None  # type: ignore[union-attr]
    assert belief is None or bool(belief.any()), "the belief before a module changes its head's logits"


@pytest.mark.parametrize("head", ["mlp", "mlp-sr", "conv", "aug", "pooled", "1c2f"])
def test_heads_that_run_again_give_the_same_gradients_and_statistics(head: str) -> None:
    cell = make(head)
    ours, theirs = built(cell).double(), built(cell).double()
    images, labels = batch(cell)
    streamed_step(recomputed(ours, modules=True), images, labels, 0.5)
    streamed_step(theirs, images, labels, 0.5)
    for mine, twin in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-10, atol=1e-14)
    for mine, twin in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, twin)


@pytest.mark.parametrize("head", head_names())
@pytest.mark.parametrize("method", ["bp", "bp-plain", "deep-supervision", "sid-streamed-in-turn", "sid-pipelined"])
@pytest.mark.long
def test_every_rule_takes_every_head_and_its_bytes_are_planned(head: str, method: str) -> None:
    if method == "sid-pipelined":
        assert make(head, method=method, ranks=3).head == head
        return
    ways = [{}, {"recompute": "modules"}, {"precision": "bfloat16"}] if method == "sid-streamed-in-turn" else [{}]
    for axes in ways:
        cell = make(head, method=method, **axes)
        images, labels = batch(cell, torch.float32)
        measured = measure_memory(build_step(cell, *shape_of(cell)), images, labels, ask_allocator=False)
        left_out = {"allocator", "timeline"}
        planned = predict_memory(cell, *shape_of(cell))
        assert planned.model_dump(exclude=left_out) == measured.model_dump(exclude=left_out)
        held = sum(value.numel() for value in built(cell).parameters())
        assert measured.parameter_bytes == 4 * held


@pytest.mark.parametrize("head", ["mlp", "mlp-sr", "conv", "aug", "pooled", "1c2f"])
def test_the_uniform_belief_leaves_a_head_alone(head: str) -> None:
    cell = make(head)
    network = built(cell)
    images, _ = batch(cell, torch.float32)
    features = images
    for module in network.local_modules:
        features = module.stage(features)  # type: ignore[operator]
        uniform = network.initial_belief(features)
        before = module.run_head(uniform, features)  # type: ignore[operator]
        nn.init.normal_(module.head.belief.weight, std=100)  # type: ignore[union-attr, arg-type]
        assert torch.equal(module.run_head(uniform, features), before)  # type: ignore[operator]


@given(later=st.integers(1, 60), units=st.integers(1, 8))
def test_augmented_heads_sample_units_evenly_and_end_with_the_last(later: int, units: int) -> None:
    places = sampled_places(later, units)
    assert len(places) == min(units, later)
    assert places[-1] == later - 1
    assert all(second > first for first, second in pairwise(places))
    gaps = [second - first for first, second in pairwise([-1, *places])]
    assert max(gaps) - min(gaps) <= 1


@given(st.integers(1, 60))
def test_augmented_heads_are_shorter_towards_the_output(stages: int) -> None:
    counts = [units_in_head(stage, stages) for stage in range(1, stages + 1)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert stages == 1 or counts[0] == MOST_UNITS
    assert all(count >= 1 for count in counts[:-1])


def test_an_augmented_head_has_units_of_the_backbone_with_weights_of_their_own() -> None:
    cell = make("aug", modules=5)
    first, *_, last = built(cell).local_modules
    convolutions = [layer for layer in first.head.modules() if isinstance(layer, nn.Conv2d)]  # type: ignore[union-attr]
    # Units 2, 4 and 5 of five: 64, 128 and 128 channels; an adapter of one position leads from 64 to unit 4's 64.
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(32, 64), (64, 128), (128, 128)]
    of_backbone = [module.stage for module in built(cell).local_modules]
    theirs = torch.cat([value.detach().flatten() for stage in of_backbone for value in stage.parameters()])
    for layer in convolutions:  # of so many numbers, a few are equal by chance
        assert float(torch.isin(layer.weight.detach(), theirs).float().mean()) < 0.05
    assert isinstance(last.head, PositionalHead)
    assert [type(layer) for layer in last.head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)] == [nn.Linear] * 2


def test_an_adapter_brings_features_to_the_size_that_a_unit_takes() -> None:
    later = LaterUnits(((4, 8, 8), (6, 4, 4)), (9, 2, 2), lambda: [nn.Conv2d(4, 6, 2, 2), nn.Conv2d(6, 9, 2, 2)])
    none = LaterUnits((), None, list)
    head, *_ = build_heads("aug", [(3, 16, 16), (9, 2, 2)], [later, none], 5, 0)
    assert head(torch.full((2, 5), 0.2), torch.randn(2, 3, 16, 16)).shape == (2, 5)
    of_tokens = LaterUnits(((7, 12),), (7, 12), lambda: [nn.Linear(12, 12)])
    with pytest.raises(
        ConfigError, match=r"head = 'aug' for features \[B, 3, 16, 16\].*takes \[B, 7, 12\]; legal: lin"
    ):
        build_heads("aug", [(3, 16, 16), (7, 12)], [of_tokens, none], 5, 0)


@pytest.mark.parametrize("features", [(6, 5, 7), (6, 1, 1), (11, 6), (1, 6), (6,)], ids=str)
@pytest.mark.parametrize("head", ["mlp", "mlp-sr"])
def test_dgls_heads_take_maps_tokens_and_rows_of_any_size(head: str, features: tuple[int, ...]) -> None:
    none = LaterUnits((), None, list)
    for made in build_heads(head, [features, features], [none, none], 5, 0):
        logits = made(torch.full((3, 5), 0.2), torch.randn(3, *features))
        assert logits.shape == (3, 5)
        logits.sum().backward()
        assert all(value.grad is not None for value in made.parameters())


def test_a_head_that_does_not_read_hidden_has_one_value_of_it() -> None:
    assert make("mlp", hidden=7) == make("mlp", hidden=9)
    assert make("linear", hidden=7) != make("linear", hidden=9)
    assert make("mlp", "pipeline-linear", hidden=7) == make("mlp", "pipeline-linear", hidden=9)


@pytest.mark.parametrize("network", ["pipeline-linear", "pipeline-vit-tiny"])
def test_convolutions_are_refused_where_features_are_no_maps(network: str) -> None:
    with pytest.raises(
        ConfigError, match=r"head = 'conv' for a stage with features \[B, .*legal for them: linear, mlp"
    ):
        built(make("conv", network))


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"network": "cascade-conv", "head": "mlp"}, "head = 'mlp' for network 'cascade-conv', a cascade, whose"),
        (
            {"network": "pipeline-conv", "head": "mpl"},
            "unknown head 'mpl'; did you mean mlp[?] legal: linear, projection, mlp",
        ),
        ({"network": "cascade-conv", "head": "mpl"}, "unknown head 'mpl'; did you mean mlp[?] legal"),
        ({"network": "pipeline-conv", "head": 3}, "head = 3; legal: a name, or module:attribute"),
    ],
)
def test_a_head_without_meaning_is_refused(axes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_cell({"dataset": "random", "image_size": 16, "modules": 2, "depth": 4, **axes})


def test_a_batch_of_one_image_is_refused_where_batchnorm_cannot_train_on_it() -> None:
    with pytest.raises(ConfigError, match="batch_size = 1 makes a batch of 1 image, and network pipeline-conv cannot"):
        make("mlp", batch_size=1)
    assert make("linear", batch_size=1).batch_size == 1
