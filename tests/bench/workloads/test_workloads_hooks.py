"""What a method may have besides its rule: an auxiliary module, a call after each step, indices and pixels."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bench.config.methods.registry
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import Method
from bench.errors import BenchError, ConfigError
from bench.measure.accuracy import measure_accuracy
from bench.measure.inference import measure_inference_bytes, predict
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.datasets.pixels import PixelScale
from bench.train.datasets.splits import load_splits
from bench.train.step import TrainingStep, build_step
from sid_core import BeliefNetwork


class Beside(nn.Module):
    """A decoder that is trained, a matrix that is not, and a running mean."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(classes, pixels)
        self.frozen = nn.Parameter(torch.randn(classes, classes), requires_grad=False)
        self.register_buffer("mean", torch.zeros(classes))
        self.seen: list[Tensor] = []
        self.steps = 0


def make_beside(network: BeliefNetwork, shape: tuple[int, int, int], classes: int, width: int) -> Beside:
    assert network.classes == classes
    assert width > 0
    channels, height, breadth = shape
    return Beside(channels * height * breadth, classes)


def reconstruct(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    auxiliary: Beside,
    indices: Tensor,
    pixels: Tensor,
    weight: float,
) -> Tensor:
    auxiliary.seen.append(indices.clone())
    logits = network(images)
    decoded = auxiliary.decoder(logits @ auxiliary.frozen).sigmoid()
    loss = F.cross_entropy(logits, labels) + weight * F.binary_cross_entropy(decoded, pixels.flatten(1))
    loss.backward()
    return loss.detach()


def average(network: BeliefNetwork, auxiliary: Beside, weight: float) -> None:
    assert weight == 0.5
    with torch.no_grad():
        last = list(network.parameters())[-1]
        auxiliary.mean.lerp_(last, 0.1)  # type: ignore[operator]
    auxiliary.steps += 1


def read(network: BeliefNetwork, images: Tensor, auxiliary: Beside) -> Iterator[Tensor]:
    for logits in network.logits_by_module(images):
        yield logits + auxiliary.mean


HOOKED = Method(
    name="hooked",
    summary="one of each hook",
    rule=reconstruct,
    keywords={"weight": 0.5},
    auxiliary=make_beside,
    after_step=average,
    uses_indices=True,
    uses_pixels=True,
    predicts_with_auxiliary=True,
    logits_by_module=read,
)


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the method into the registry, as an entry point would."""
    registry = bench.config.methods.registry._REGISTRY
    monkeypatch.setitem(registry._own, "hooked", HOOKED)  # type: ignore[arg-type]
    registry.load.cache_clear()


def tiny(method: str = "hooked", **axes: Any) -> Cell:
    sizes = {"network": "cascade-conv", "dataset": "random", "depth": 2, "modules": 2, "width": 5, "hidden": 6}
    return make_cell({"method": method, "batch_size": 7, "image_size": 6, "passes": ["memory"], **sizes, **axes})


def built(cell: Cell) -> tuple[TrainingStep, Tensor, Tensor]:
    shape, classes = shape_of(cell)
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(cell.batch_size, *shape, generator=generator)
    return build_step(cell, shape, classes), images, torch.randint(classes, (cell.batch_size,), generator=generator)


@pytest.mark.parametrize(
    "axes",
    [{}, {"optimizer": "sgd"}, {"precision": "bfloat16"}, {"micro_batches": 3}, {"recompute": "all"}],
    ids=str,
)
@pytest.mark.long
def test_what_a_method_holds_is_measured_and_planned_to_the_byte(axes: dict[str, Any]) -> None:
    cell = tiny(**axes)
    measured = measure_memory(*built(cell), ask_allocator=False)
    left_out = {"allocator", "timeline"}
    planned = predict_memory(cell, *shape_of(cell))
    assert planned.model_dump(exclude=left_out) == measured.model_dump(exclude=left_out)
    bare = measure_memory(*built(tiny("bp", **axes)), ask_allocator=False)
    decoder, frozen, mean = 4 * (36 * 10 + 36), 4 * 100, 4 * 10
    assert measured.parameter_bytes - bare.parameter_bytes == decoder + frozen
    assert measured.buffer_bytes - bare.buffer_bytes == mean
    assert measured.gradient_bytes - bare.gradient_bytes == decoder
    states = 1 if axes.get("optimizer") == "sgd" else 2
    counters = 0 if states == 1 else 2 * 4  # Adam counts the steps of each tensor
    assert measured.optimizer_bytes - bare.optimizer_bytes == states * decoder + counters
    assert measured.peak_activation_bytes > bare.peak_activation_bytes


def test_the_auxiliary_module_has_weights_of_the_seed_that_the_network_does_not_have() -> None:
    first, second, other = built(tiny())[0], built(tiny())[0], built(tiny(seed=1))[0]
    assert isinstance(first.auxiliary, Beside)
    for one, same, another in zip(*(list(step.auxiliary.parameters()) for step in (first, second, other)), strict=True):  # type: ignore[union-attr]
        assert torch.equal(one, same)
        assert not torch.equal(one, another)
    of_network = torch.cat([value.detach().flatten() for value in first.network.parameters()])
    assert not torch.isin(first.auxiliary.decoder.weight.detach(), of_network).any()
    bare = built(tiny("bp"))[0]
    for one, same in zip(first.network.parameters(), bare.network.parameters(), strict=True):
        assert torch.equal(one, same)


def test_a_step_updates_the_auxiliary_module_and_calls_the_hook_after_it() -> None:
    step, images, labels = built(tiny())
    auxiliary = step.auxiliary
    assert isinstance(auxiliary, Beside)
    before = [value.detach().clone() for value in (auxiliary.decoder.weight, auxiliary.frozen)]
    step(images, labels)
    assert not torch.equal(auxiliary.decoder.weight, before[0])
    assert torch.equal(auxiliary.frozen, before[1])
    assert auxiliary.steps == 1
    torch.testing.assert_close(auxiliary.mean, 0.1 * list(step.network.parameters())[-1].detach())
    assert auxiliary.seen[0].tolist() == list(range(7))
    step(images, labels, indices=torch.arange(7) + 5)
    assert auxiliary.seen[1].tolist() == list(range(5, 12))


def test_micro_batches_give_the_gradients_of_the_batch() -> None:
    (whole, images, labels), (parts, *_) = built(tiny()), built(tiny(micro_batches=3))
    for step in (whole, parts):
        step.optimizer.step = lambda: None  # type: ignore[method-assign, assignment, misc]
        step(images, labels)
    assert isinstance(parts.auxiliary, Beside)
    assert [part.tolist() for part in parts.auxiliary.seen] == [[0, 1, 2], [3, 4], [5, 6]]
    for one, other in zip(whole.held, parts.held, strict=True):
        for mine, twin in zip(one.parameters(), other.parameters(), strict=True):
            if mine.grad is not None:
                torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-4, atol=1e-7)


def test_a_step_of_another_method_on_the_same_network_leaves_the_auxiliary_module_alone() -> None:
    step, images, labels = built(tiny())
    baseline = step.baseline()
    assert baseline.network is step.network
    assert baseline.auxiliary is None
    step(images, labels)
    assert isinstance(step.auxiliary, Beside)
    before = step.auxiliary.decoder.weight.detach().clone()
    baseline(images, labels)
    assert torch.equal(step.auxiliary.decoder.weight, before)
    again = baseline.for_cell(tiny())
    assert isinstance(again.auxiliary, Beside)
    again(images, labels)
    assert again.auxiliary.steps == 1


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"compile": True, "passes": ["latency"]}, "compile = True for method 'hooked', whose auxiliary modules"),
        ({"ranks": 2}, "ranks = 2 for method 'hooked'; legal: 1"),
    ],
)
def test_what_a_hook_has_no_meaning_for_is_refused(axes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny(**axes)


def test_a_method_says_why_its_batches_have_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    compares = Method(name="compares", summary="", rule=reconstruct, not_in_parts="whose loss compares samples")
    monkeypatch.setitem(bench.config.methods.registry._REGISTRY._own, "compares", compares)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="micro_batches = 2 for method 'compares', whose loss compares samples; leg"):
        tiny("compares", micro_batches=2)
    assert tiny("compares", micro_batches=1).micro_batches is None


def test_hooks_and_ranks_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Method(name="shared", summary="", rule=reconstruct, on_ranks=read, on_one_rank="bp", uses_indices=True)
    monkeypatch.setitem(bench.config.methods.registry._REGISTRY._own, "shared", shared)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ranks = 2 for method 'shared', whose uses_indices is made for one rank"):
        tiny("shared", ranks=2)


def test_a_factory_that_gives_no_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Method(name="wrong", summary="", rule=reconstruct, auxiliary=lambda network: network.classes)
    monkeypatch.setitem(bench.config.methods.registry._REGISTRY._own, "wrong", wrong)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=r"auxiliary of method 'wrong' gives a int; legal: a torch.nn.Module"):
        built(tiny("wrong"))


def test_training_reads_indices_and_pixels_of_the_data_and_the_auxiliary_module_in_predictions() -> None:
    cell = tiny(dataset="digits", image_size=None, batch_size=50, train_samples=200, epochs=2, passes=["accuracy"])
    data = load_splits(cell, None)
    pixels: list[Tensor] = []

    def rule(network: Any, images: Tensor, labels: Tensor, objective: object, **keywords: Any) -> Tensor:
        pixels.append(keywords["pixels"])
        index = keywords["indices"]
        assert torch.equal(images, data.train.images[index])
        return reconstruct(network, images, labels, objective, **keywords, weight=0.5)

    step = build_step(cell, data.shape, data.classes, samples=len(data.train), scale=data.scale)
    own = TrainingStep(
        **{**step.__dict__, "rule": lambda *args, **known: rule(*args, **known, auxiliary=step.auxiliary)}
    )
    measure_accuracy(cell, own, data)
    assert isinstance(step.auxiliary, Beside)
    seen = torch.cat(step.auxiliary.seen).view(2, -1)
    assert [sorted(epoch) for epoch in seen.tolist()] == [list(range(180))] * 2
    raw = torch.cat(pixels)
    assert (float(raw.min()), float(raw.max())) == pytest.approx((0, 1), abs=1e-6)
    torch.testing.assert_close(raw * 16, (raw * 16).round(), rtol=0, atol=1e-4)  # digits have 17 shades
    images = data.test.images[:5]
    step.network.eval()
    expected = step.network(images).detach() + step.auxiliary.mean
    torch.testing.assert_close(predict(step, images), expected)
    assert measure_inference_bytes(step, images).peak_activation_bytes > 0


def test_pixels_of_bytes_have_the_range_of_bytes() -> None:
    raw = torch.randint(20, 90, (30, 3, 4, 4), dtype=torch.uint8)
    mean = raw.float().mean(dim=(0, 2, 3), keepdim=True)
    deviation = raw.float().std(dim=(0, 2, 3), keepdim=True)
    scale = PixelScale.of(raw, mean, deviation)
    torch.testing.assert_close(scale.pixels((raw.float() - mean) / deviation), raw.float() / 255)
    flat = PixelScale.of(torch.full((2, 1, 2, 2), 3.0), torch.tensor(3.0).view(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert flat.pixels(torch.zeros(2, 1, 2, 2)).tolist() == torch.zeros(2, 1, 2, 2).tolist()
