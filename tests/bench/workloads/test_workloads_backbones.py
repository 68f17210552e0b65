"""Backbones as pipelines: units, cuts, cells, plans, and one step of each."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cells import refusal, run_method
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.label import label
from bench.config.networks import load_network
from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.execute.frontier import is_beyond
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import lines_of, memory_cells, shape_of
from bench.plan.tasks import Largest, largest_batch
from bench.train.networks.build import build_network
from bench.train.networks.cuts import balanced_cut, even_cut
from bench.train.networks.units import build_units
from bench.train.step import build_step
from sid_core import BeliefNetwork, Cascade, Pipeline

PLANNED_BY_DEFAULT = {("pipeline-resnet18", "sid-streamed"), ("pipeline-vit-tiny", "bp-checkpoint")}
BACKBONE_TRUNKS = {f"cascade-{name}": f"pipeline-{name}" for name in ("resnet18", "vgg11", "vit-tiny")}
BACKBONE_UNITS = {name: load_network(name).units for name in ("pipeline-conv", *BACKBONE_TRUNKS.values())}
each_trunk = pytest.mark.parametrize("network", list(BACKBONE_TRUNKS))
each_backbone = pytest.mark.parametrize("network", list(BACKBONE_UNITS))


def cell(network: str = "pipeline-conv", **axes: Any) -> Cell:
    sizes = {"batch_size": 3, "image_size": 8, "channels": 3, "hidden": 7}
    return make_cell({"network": network, "dataset": "random", "passes": ["memory"], **sizes, **axes})


def batch(of: Cell) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    shape, classes = shape_of(of)
    return torch.randn(of.batch_size, *shape), torch.randint(classes, (of.batch_size,))


def build(of: Cell) -> BeliefNetwork:
    return build_network(of, *shape_of(of))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_balanced_cut_is_the_best_of_all_cuts(data: st.DataObject) -> None:
    units = data.draw(st.integers(1, 7))
    stages = data.draw(st.integers(1, units))
    numbers = st.lists(st.integers(0, 50), min_size=units, max_size=units)
    kept, outputs = data.draw(numbers), data.draw(numbers)

    def largest(ends: list[int]) -> int:
        starts = [0, *ends[:-1]]
        return max(
            sum(kept[start:end]) + (outputs[start - 1] if start else 0) for start, end in zip(starts, ends, strict=True)
        )

    every_cut = [[*inner, units] for inner in itertools.combinations(range(1, units), stages - 1)]
    cut = balanced_cut(kept, outputs, stages)
    assert cut in every_cut
    assert largest(cut) == min(map(largest, every_cut))


@given(st.integers(1, 30), st.data())
def test_an_even_cut_differs_by_one_unit_at_most(units: int, data: st.DataObject) -> None:
    ends = even_cut(units, data.draw(st.integers(1, units)))
    sizes = [end - start for start, end in itertools.pairwise([0, *ends])]
    assert ends[-1] == units
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@each_backbone
def test_weights_of_the_backbone_are_the_same_for_every_cut(network: str) -> None:
    def backbone(modules: int) -> torch.Tensor:
        pipeline = build(cell(network, modules=modules))
        return torch.cat([p.flatten() for module in pipeline.local_modules for p in module.stage.parameters()])

    assert torch.equal(backbone(1), backbone(4))


@each_backbone
@pytest.mark.long
def test_streamed_trains_every_parameter_with_the_published_gradients(network: str) -> None:
    of = cell(network, modules=3, cut="balanced")
    images, labels = batch(of)
    found = []
    for method in ("sid-streamed", "sid-published"):
        pipeline = build(of).double().eval()
        assert isinstance(pipeline, Pipeline)
        run_method(method, pipeline, images.double(), labels, 0.5)
        found.append(torch.cat([p.grad.flatten() for p in pipeline.parameters() if p.grad is not None]))
        assert len(found[-1]) == sum(p.numel() for p in pipeline.parameters())
    assert float((found[0] - found[1]).abs().max()) <= 1e-12 * float(found[1].abs().max())


@each_trunk
def test_a_backbone_as_a_trunk_is_the_pipelines_with_a_mean_and_a_linear_layer(network: str) -> None:
    of = cell(network, depth=4, modules=2, width=5, seed=3)
    cascade, pipeline = build(of).eval(), build(cell(BACKBONE_TRUNKS[network], seed=3)).eval()
    assert isinstance(cascade, Cascade)
    assert isinstance(cascade.trunk, nn.Sequential)
    images, _ = batch(of)
    features = images
    for stage in pipeline.local_modules:
        features = stage.stage(features)  # type: ignore[operator]
    pooled = features.mean(dim=1) if features.dim() == 3 else features.mean(dim=(2, 3))
    assert torch.equal(cascade.trunk(images), cascade.trunk[-1](pooled))
    assert cascade.trunk(images).shape == (of.batch_size, 5)


@pytest.mark.long
@each_trunk
@pytest.mark.parametrize("method", ["sid-streamed", "sid-streamed-recompute", "sid-vectorised"])
def test_a_backbone_as_a_trunk_gets_the_published_gradients(network: str, method: str) -> None:
    of = cell(network, depth=3, width=5)
    images, labels = batch(of)
    found = []
    for name in (method, "sid-published"):
        cascade = build(of).double()
        run_method(name, cascade, images.double(), labels, 0.5)
        found.append(torch.cat([p.grad.flatten() for p in cascade.parameters() if p.grad is not None]))
        assert len(found[-1]) == sum(p.numel() for p in cascade.parameters())
    assert float((found[0] - found[1]).abs().max()) <= 1e-12 * float(found[1].abs().max())


@pytest.mark.long
@each_trunk
def test_where_the_backbone_is_the_trunk_sid_saves_nothing_unless_it_is_run_again(network: str) -> None:
    def peak(method: str) -> int:
        of = cell(network, method=method, depth=8, image_size=32, batch_size=32)
        return predict_memory(of, *shape_of(of)).peak_activation_bytes

    bp = peak("bp")
    assert peak("sid-streamed") == pytest.approx(bp, rel=0.001)
    assert peak("sid-streamed-recompute") < 0.7 * bp
    assert peak("bp-checkpoint-trunk") == pytest.approx(peak("sid-streamed-recompute"), rel=0.02)


@pytest.mark.long
def test_checkpoints_by_block_hold_the_same_wherever_stages_are_cut() -> None:
    def held(modules: int) -> int:
        of = cell("pipeline-resnet18", method="bp-checkpoint", modules=modules, image_size=32, batch_size=32)
        return predict_memory(of, *shape_of(of)).peak_activation_bytes

    few, many = held(1), held(9)
    assert few == pytest.approx(many, rel=0.01)
    of = cell("pipeline-resnet18", modules=1, image_size=32, batch_size=32)
    assert few < 0.55 * predict_memory(of, *shape_of(of)).peak_activation_bytes


IN_PARTS = [
    {"network": "pipeline-conv", "modules": 3},
    {"network": "pipeline-vit-tiny", "modules": 2},
    {"network": "cascade-linear", "depth": 4, "modules": 2},
    {"network": "cascade-conv", "depth": 2, "modules": 1},
    {"network": "cascade-vit-tiny", "depth": 2, "modules": 2},
]


# One image, and a batch that micro-batches do not divide; the others run with --slow.
@pytest.mark.long
@pytest.mark.parametrize(
    "batch_size", [1, pytest.param(3, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow), 9]
)
@pytest.mark.parametrize(
    ("method", "axes"),
    [
        pytest.param(method, axes, id=f"{method}-{axes['network']}")
        for axes in IN_PARTS
        for method in ("bp-checkpoint", "bp-checkpoint-trunk", "bp-microbatch")
        if refusal(method, cell(**axes)) is None
    ],
)
def test_bp_in_parts_gives_bps_gradients(method: str, batch_size: int, axes: dict[str, Any]) -> None:
    of = cell(**axes, batch_size=batch_size)
    images, labels = batch(of)
    expected, network = build(of).double(), build(of).double()
    expected_loss = F.cross_entropy(expected(images.double()), labels)
    expected_loss.backward()
    loss = run_method(method, network, images.double(), labels, None)
    assert float(loss) == pytest.approx(float(expected_loss.detach()), rel=1e-12)
    scale = max(float(p.grad.abs().max()) for p in expected.parameters() if p.grad is not None)
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        assert parameter.grad is not None
        assert twin.grad is not None
        assert float((parameter.grad - twin.grad).abs().max()) <= 1e-12 * scale


@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "method"),
    [
        pytest.param(network, method, marks=[] if is_quick else pytest.mark.slow)
        for network in BACKBONE_UNITS
        for method in ("bp", "bp-checkpoint", "bp-microbatch", "sid-published", "sid-streamed")
        for is_quick in [network == "pipeline-conv" or (network, method) in PLANNED_BY_DEFAULT]
    ],
)
def test_a_step_is_planned_to_the_byte(network: str, method: str) -> None:
    of = cell(network, method=method, modules=3, batch_size=8)  # of 8, BatchNorm sees two at a time at the least
    measured = measure_memory(build_step(of, *shape_of(of)), *batch(of), ask_allocator=False)
    predicted = predict_memory(of, *shape_of(of))
    assert predicted.model_dump(exclude={"timeline"}) == measured.model_dump(exclude={"timeline"})


@pytest.mark.long
@pytest.mark.parametrize("network", ["pipeline-resnet18", pytest.param("pipeline-vit-tiny", marks=pytest.mark.slow)])
def test_a_step_in_bfloat16_is_planned_to_the_byte(network: str) -> None:
    of = cell(network, method="sid-streamed", modules=3, batch_size=2, image_size=16, precision="bfloat16")
    measured = measure_memory(build_step(of, *shape_of(of)), *batch(of), ask_allocator=False)
    assert predict_memory(of, *shape_of(of)).model_dump(exclude={"timeline"}) == measured.model_dump(
        exclude={"timeline"}
    )


def test_streamed_holds_a_part_of_what_bp_holds() -> None:
    sizes = {"image_size": 32, "batch_size": 32}

    def peak(method: str, **axes: Any) -> int:
        of = cell("pipeline-resnet18", method=method, **sizes, **axes)
        return predict_memory(of, *shape_of(of)).peak_activation_bytes

    for axes, most in (({"modules": 8}, 0.42), ({"modules": 5, "cut": "balanced"}, 0.38)):
        assert peak("sid-streamed", **axes) <= most * peak("bp", **axes)


def test_what_a_cell_leaves_open_has_one_value() -> None:
    of = cell("pipeline-resnet18")
    assert (of.depth, of.modules, of.cut, of.width) == (9, 9, "even", 128)
    assert cell("pipeline-resnet18", width=7) == of
    assert cell("pipeline-resnet18", cut="balanced") == of  # nine stages of nine units: one way only
    assert cell("pipeline-resnet18", modules=5, cut="balanced").id != cell("pipeline-resnet18", modules=5).id
    assert cell("cascade-linear", cut="balanced") == cell("cascade-linear")
    assert cell("pipeline-resnet18", depth=64) == of  # the number of units fixes the depth
    assert "modules 5 balanced cut " in label(cell("pipeline-resnet18", modules=5, cut="balanced"))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"modules": 6}, "modules = 6 for network pipeline-conv; legal: 1 to 5"),
        ({"modules": 2, "cut": "odd"}, "cut = 'odd'; legal: even or balanced"),
        ({"image_size": 3}, "image_size = 3 for network pipeline-conv; legal: 4 or more"),
    ],
)
def test_what_is_not_legal_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell(**axes)


@pytest.mark.parametrize("network", ["pipeline-vit-tiny", "cascade-vit-tiny"])
def test_images_that_patches_do_not_tile_are_refused_before_anything_runs(network: str) -> None:
    legal = "legal: multiples of 4 up to 64, multiples of 16 above"
    for side in (10, 72):
        with pytest.raises(ConfigError, match=f"image_size = {side} for network {network}; {legal}"):
            cell(network, image_size=side)
    cell(network, image_size=80)
    folder = cell(network, dataset="image-folder", image_size=None)  # its files decide
    with pytest.raises(ConfigError, match=f"image_size = 8x10 for network {network}; {legal}"):
        build_network(folder, (3, 8, 10), 10)


@pytest.mark.parametrize(
    ("axes", "legal"),
    [
        ({"network": "pipeline-resnet18", "batch_size": 1}, "2 or more"),
        ({"network": "cascade-resnet18", "batch_size": 1}, "2 or more"),
        ({"network": "pipeline-resnet18", "batch_size": 7, "method": "bp-microbatch"}, "8 or more"),
        ({"network": "pipeline-resnet18", "batch_size": 3, "method": "bp-microbatch", "micro_batches": 2}, "4 or more"),
        ({"network": "pipeline-resnet18", "batch_size": 2, "method": "bp-1f1b", "ranks": 2}, "4 or more"),
    ],
)
def test_a_batch_of_one_value_a_channel_is_refused_where_batch_norm_would_see_it(
    axes: dict[str, Any], legal: str
) -> None:
    with pytest.raises(ConfigError, match=rf"cannot train on 1 image of 3x8x8 \(ValueError: .*\); legal: {legal}"):
        cell(**axes)
    cell(**axes, image_size=16)  # four pixels are left
    cell(**axes | {"batch_size": int(legal.split()[0])})
    cell(
        **axes | {"network": "pipeline-vgg11"} if "pipeline" in axes["network"] else axes | {"network": "cascade-vgg11"}
    )


@pytest.mark.long
@pytest.mark.parametrize("side", [1, 8, 9, 31, 65, 96])
@pytest.mark.parametrize("network", ["pipeline-resnet18", "cascade-mobilenet_v2", "pipeline-vgg11_bn"])
def test_a_single_image_is_refused_exactly_where_the_last_map_is_one_pixel(network: str, side: int) -> None:
    backbone = network.partition("-")[2]
    with torch.device("meta"):
        features = torch.empty(2, 3, side, side)
        seen = []
        for unit in build_units(backbone, (3, side, side)):
            for norm in filter(lambda module: isinstance(module, nn.BatchNorm2d), unit.modules()):
                norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2] * inputs[0].shape[3]))
            features = unit(features)
    if min(seen) > 1:
        cell(network, image_size=side, batch_size=1)
        return
    with pytest.raises(ConfigError, match="batch_size = 1 makes a batch of 1 image"):
        cell(network, image_size=side, batch_size=1)


@pytest.mark.long
def test_the_largest_batch_is_looked_for_from_the_smallest_legal_one_on() -> None:
    (line,) = lines_of(memory_cells([cell("pipeline-resnet18", method="bp-microbatch", batch_size=64)]))
    assert line.batch_size == 8
    found = largest_batch(line, 1, 2**28)
    assert isinstance(found, Largest)
    assert found.batch > 8
    none = largest_batch(line, 1, 2**20)
    assert isinstance(none, Largest)
    assert none.batch == 0


def test_the_out_of_memory_frontier_of_a_backbone() -> None:
    failed = cell("pipeline-resnet18", modules=5)
    assert is_beyond(cell("pipeline-resnet18", modules=5, batch_size=4), failed)
    assert not is_beyond(cell("pipeline-resnet18", modules=8), failed)  # smaller stages
    assert not is_beyond(cell("pipeline-resnet18", modules=5, image_size=224), failed)  # another stem
    assert not is_beyond(cell("pipeline-resnet18", modules=5, cut="balanced"), failed)


def test_the_suite_has_even_cuts_and_a_balanced_one() -> None:
    cells = [cell for cell in load_sweep("backbones").cells if cell.image_size == 32 and cell.network in BACKBONE_UNITS]
    assert {(cell.network, cell.modules, cell.cut) for cell in cells} == {
        (f"pipeline-{name}", *cut)
        for name in ("resnet18", "vgg11", "vit-tiny")
        for cut in ((2, "even"), (4, "even"), (8, "even"), (5, "balanced"))
    }
    assert {cell.batch_size for cell in cells} == {32}
    every = {
        ("bp", "none"),
        ("bp-plain", "none"),
        ("bp", "modules"),
        ("sid-published", "none"),
        ("sid-streamed", "none"),
    }
    for network in {cell.network for cell in cells}:
        for modules in (2, 4, 5, 8):
            here = [cell for cell in cells if (cell.network, cell.modules) == (network, modules)]
            found = {(cell.method, cell.recompute) for cell in here}
            assert found == (every if modules in (5, 8) else every - {("sid-published", "none")})
            assert (4 in {cell.micro_batches for cell in here}) == (modules in (5, 8))


def test_the_suite_has_every_backbone_as_a_trunk_with_all_that_runs_it_again() -> None:
    cells = [cell for cell in load_sweep("backbones").cells if cell.network in BACKBONE_TRUNKS]
    assert {cell.network for cell in cells} == set(BACKBONE_TRUNKS)
    for network in BACKBONE_TRUNKS:
        here = {(cell.method, cell.recompute, cell.micro_batches) for cell in cells if cell.network == network}
        assert {("bp", "all", None), ("bp", "none", 4), ("sid-streamed", "trunk", None)} <= here


def test_the_suite_has_large_images_and_several_micro_batches() -> None:
    cells = load_sweep("backbones").cells
    large = [cell for cell in cells if cell.image_size == 224]
    assert {cell.network for cell in large} == {"pipeline-resnet18", "pipeline-vgg11", "pipeline-vit-tiny"}
    assert {(cell.method, cell.recompute, cell.micro_batches) for cell in large} == {
        ("bp", "none", None),
        ("bp-plain", "none", None),
        ("bp", "modules", None),
        ("bp", "none", 4),
        ("sid-streamed", "none", None),
    }
    assert {cell.micro_batches for cell in cells if cell.method == "bp" and cell.modules == 8} == {None, 2, 4, 8}


def test_a_stage_may_start_in_place() -> None:
    torch.manual_seed(0)
    stages = [nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3))]
    images, labels = torch.randn(3, 1, 6, 6), torch.tensor([0, 1, 2])
    found = []
    network = Pipeline.with_heads(stages, [2, 2], 3)
    for method in ("sid-streamed", "sid-published"):
        network.zero_grad()
        run_method(method, network, images, labels, 0.5)
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert all(torch.allclose(*pair, rtol=1e-5, atol=1e-7) for pair in zip(*found, strict=True))
