"""Pipelines: the network itself, and the steps on it compared with a reference written out in the test."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from sid_core import LocalModule, Pipeline, published_step, streamed_step, vectorised_step
from sid_core.pipeline import pool

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
CHANNELS, SIDE = 2, 6
REPEATABLE = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
Step = Callable[[Pipeline, Tensor, Tensor, Any], Tensor]

STEPS: dict[str, Step] = {
    "published": published_step,
    "streamed": streamed_step,
    "streamed through autograd": partial(streamed_step, closed_form=False),
}
each_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
steps = st.sampled_from(list(STEPS)).map(STEPS.__getitem__)


class Tokens(nn.Module):
    """``[B, d, H, W]`` to ``[B, H * W, d]``."""

    def forward(self, features: Tensor) -> Tensor:
        return features.flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Case:
    """Convolutional stages, then perhaps stages on tokens or on flat features; all drawn from ``seed``."""

    convolutional: int
    linear: int
    on_tokens: bool
    width: int
    classes: int
    batch: int
    dtype: torch.dtype
    alpha: Any
    seed: int

    @property
    def modules(self) -> int:
        return self.convolutional + self.linear

    def build(self) -> tuple[Pipeline, Tensor, Tensor]:
        """The network, images and labels, the same in every call."""
        torch.manual_seed(self.seed)
        stages, widths, channels = [], [], CHANNELS
        for index in range(self.convolutional):
            in_place = nn.ReLU(inplace=bool(index % 2))
            stages.append(nn.Sequential(nn.Conv2d(channels, self.width + index, 3, padding=1), in_place))
            channels = self.width + index
            widths.append(channels)
        for index in range(self.linear):
            layers: list[nn.Module] = []
            if index == 0 and self.on_tokens:
                layers = [Tokens()]
            elif index == 0:
                layers, channels = [nn.Flatten()], channels * SIDE * SIDE
            stages.append(nn.Sequential(*layers, nn.Linear(channels, self.width), nn.Tanh()))
            channels = self.width
            widths.append(channels)
        network = Pipeline.with_heads(stages, widths, self.classes, hidden=7).to(self.dtype)
        images = torch.randn(self.batch, CHANNELS, SIDE, SIDE, dtype=self.dtype)
        return network, images, torch.randint(self.classes, (self.batch,))


@st.composite
def cases(draw: st.DrawFn, most: int = 3) -> Case:
    convolutional = draw(st.integers(0, most))
    linear = draw(st.integers(0 if convolutional else 1, most))
    number = st.floats(0.01, 1)
    modules = convolutional + linear
    return Case(
        convolutional=convolutional,
        linear=linear,
        on_tokens=draw(st.booleans()),
        width=draw(st.integers(1, 5)),
        classes=draw(st.integers(2, 6)),
        batch=draw(st.integers(1, 5)),
        dtype=draw(st.sampled_from([torch.float64, torch.float32])),
        alpha=draw(number | st.lists(number, min_size=modules, max_size=modules)),
        seed=draw(st.integers(0, 2**32)),
    )


def small(**changes: Any) -> tuple[Pipeline, Tensor, Tensor]:
    sizes = {"convolutional": 2, "linear": 1, "on_tokens": False, "width": 3, "classes": 4, "batch": 5}
    return Case(**{**sizes, "dtype": torch.float64, "alpha": 0.5, "seed": 0, **changes}).build()


def mean_over_positions(features: Tensor) -> Tensor:
    if features.dim() == 4:
        return features.flatten(2).mean(2)
    return features.mean(1) if features.dim() == 3 else features


def reference_step(network: Pipeline, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
    """The equations of a pipeline one by one, with autograd."""
    count = len(network.local_modules)
    alphas = alpha if isinstance(alpha, list) else [alpha] * count
    features = images
    belief = torch.full((len(images), network.classes), 1 / network.classes, dtype=images.dtype)
    total = torch.zeros((), dtype=images.dtype)
    for module, share in zip(network.local_modules, alphas, strict=True):
        features = module.stage(features.detach().clone())
        logits = module.head(belief.detach(), mean_over_positions(features))
        log_belief = logits.log_softmax(1)
        fidelity = -log_belief.gather(1, labels[:, None]).mean()
        consistency = (belief.detach() * (belief.detach().log() - log_belief)).sum(1).mean()
        total = total + share * fidelity + (1 - share) * consistency
        belief = log_belief.exp()
    total.backward()
    return total.detach()


def gradients(network: nn.Module) -> Tensor:
    parts = [parameter.grad for parameter in network.parameters()]
    assert all(part is not None for part in parts)
    return torch.cat([part.flatten() for part in parts if part is not None])


def assert_same(ours: nn.Module, reference: nn.Module, tolerance: float = 1e-12) -> None:
    expected = gradients(reference)
    assert float((gradients(ours) - expected).abs().max()) <= tolerance * max(1e-30, float(expected.abs().max()))


@settings(REPEATABLE, max_examples=60)
@given(cases(), steps)
def test_a_step_gives_the_loss_and_gradients_of_the_reference(case: Case, step: Step) -> None:
    network, images, labels = case.build()
    reference, *_ = case.build()
    loss = step(network, images, labels, case.alpha)
    expected = reference_step(reference, images.clone(), labels, case.alpha)
    assert loss.shape == ()
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(float(expected), rel=TOLERANCE[case.dtype], abs=TOLERANCE[case.dtype])
    assert_same(network, reference, TOLERANCE[case.dtype])


@settings(REPEATABLE, max_examples=20)
@given(st.integers(0, 2**32), st.booleans(), steps)
def test_one_module_with_alpha_one_is_backpropagation(seed: int, flat: bool, step: Step) -> None:
    kind = {"convolutional": 0, "linear": 1} if flat else {"convolutional": 1, "linear": 0}
    network, images, labels = small(seed=seed, **kind)
    reference, *_ = small(seed=seed, **kind)
    loss = step(network, images, labels, 1.0)
    expected = F.cross_entropy(reference(images), labels)
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert_same(network, reference)


@each_step
def test_gradients_are_added_to_existing_ones(step: Step) -> None:
    once, images, labels = small()
    twice, *_ = small()
    step(once, images, labels, 0.5)
    for _ in range(2):
        step(twice, images, labels, 0.5)
    for parameter in once.parameters():
        assert parameter.grad is not None
        parameter.grad *= 2
    assert_same(twice, once)


@each_step
def test_images_that_require_a_gradient_get_that_of_the_first_stage(step: Step) -> None:
    network, images, labels = small()
    step(network, images.requires_grad_(), labels, 0.3)
    assert images.grad is not None
    own = images.detach().clone().requires_grad_()
    first = network.local_modules[0]
    logits, _ = first(torch.full((5, 4), 0.25, dtype=own.dtype), own)
    target = 0.3 * F.one_hot(labels, 4).double() + 0.7 * 0.25
    F.cross_entropy(logits, target).backward()
    assert own.grad is not None
    assert torch.allclose(images.grad, own.grad, rtol=1e-10, atol=1e-15)


@each_step
def test_a_frozen_stage_gets_no_gradient_and_does_not_change_others(step: Step) -> None:
    network, images, labels = small()
    reference, *_ = small()
    network.local_modules[1].stage.requires_grad_(False)
    step(network, images, labels, 0.5)
    step(reference, images, labels, 0.5)
    assert all(parameter.grad is None for parameter in network.local_modules[1].stage.parameters())
    for parameter, twin in zip(network.parameters(), reference.parameters(), strict=True):
        assert parameter.grad is None or (twin.grad is not None and torch.equal(parameter.grad, twin.grad))


def with_batch_norm() -> tuple[Pipeline, Tensor, Tensor]:
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(CHANNELS, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), nn.Sequential(nn.Flatten())]
    stages.append(nn.Sequential(nn.Linear(48, 5), nn.BatchNorm1d(5)))
    network = Pipeline.with_heads(stages, [3, 48, 5], 4, hidden=6).double()
    return network, torch.randn(6, CHANNELS, SIDE, SIDE, dtype=torch.float64), torch.randint(4, (6,))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gives_the_same_gradients(training: bool) -> None:
    network, images, labels = with_batch_norm()
    network.train(training)
    reference = copy.deepcopy(network)
    streamed_step(network, images, labels, 0.4)
    published_step(reference, images, labels, 0.4)
    assert_same(network, reference)


def test_streamed_runs_each_stage_forward_once_and_published_twice() -> None:
    for step, runs in ((streamed_step, 1), (published_step, 2)):
        network, images, labels = with_batch_norm()
        step(network, images, labels, 0.4)
        counts = [int(value) for name, value in network.named_buffers() if name.endswith("num_batches_tracked")]
        assert counts == [runs, runs]


def test_streamed_runs_a_stage_backward_before_the_next_one_forward() -> None:
    network, images, labels = small(convolutional=3)
    calls: list[str] = []
    for index, module in enumerate(network.local_modules):
        module.stage.register_forward_hook(lambda *_, index=index: calls.append(f"forward {index}"))
        weight = next(module.stage.parameters())
        weight.register_post_accumulate_grad_hook(lambda _, index=index: calls.append(f"backward {index}"))
    streamed_step(network, images, labels, 0.5)
    assert calls == [f"{way} {index}" for index in range(4) for way in ("forward", "backward")]


def test_backpropagation_goes_through_features_and_beliefs() -> None:
    network, images, labels = small()
    F.cross_entropy(network(images), labels).backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())
    first = network.local_modules[0].stage[0].weight
    through_all = first.grad.clone()
    network.zero_grad()
    features, belief = images, network.initial_belief(images)
    for module in network.local_modules:
        logits, features = module(belief.detach(), features)
        belief = logits.softmax(1)
    F.cross_entropy(logits, labels).backward()
    assert not torch.allclose(first.grad, through_all)


def test_prediction_works_without_gradients_and_after_a_reload() -> None:
    network, images, _ = small()
    expected = network(images)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), expected)
    other, *_ = small(seed=1)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(images), expected)
    assert torch.equal(list(network.logits_by_module(images))[-1], expected)


def test_a_pipeline_can_be_exported() -> None:
    network, images, _ = small(linear=2, on_tokens=True)
    program = torch.export.export(network.eval(), (images,))
    assert torch.allclose(program.module()(images), network(images))


def test_parameters_are_listed_stage_by_stage() -> None:
    network, *_ = small()
    prefixes = [name.split(".")[1:3] for name, _ in network.named_parameters()]
    in_order = list(dict.fromkeys(map(tuple, prefixes)))
    assert in_order == [(str(index), part) for index in range(3) for part in ("stage", "head")]
    assert not list(network.trunk.parameters())


@settings(REPEATABLE, max_examples=20)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_pooling_is_the_mean_over_positions(shape: list[int]) -> None:
    features = torch.randn(shape, dtype=torch.float64)
    assert torch.allclose(pool(features), mean_over_positions(features))
    assert pool(features).shape == (shape[0], shape[2] if len(shape) == 3 else shape[1])


@pytest.mark.parametrize("shape", [(2,), (2, 3, 4, 5, 6)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"features have shape .*; legal: \[B, d\]"):
        pool(torch.zeros(shape))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pipeline([], [], 4), "stages is empty; legal: at least one"),
        (lambda: Pipeline([nn.Flatten()], [], 4), "heads has 0 modules; legal: 1, one for each stage"),
        (lambda: Pipeline([nn.Flatten()], [LocalModule(3, 1, 2)], 1), "classes = 1; legal: 2 or more"),
        (lambda: Pipeline.with_heads([nn.Flatten()], [3, 4], 4), "widths has 2 numbers; legal: 1"),
        (lambda: Pipeline.with_heads([nn.Flatten()], [0], 4), "widths = 0; legal: integers of 1 or more"),
        (lambda: Pipeline.with_heads([nn.Flatten()], [3], 4, hidden=True), "hidden = True; legal: integers"),
    ],
)
def test_illegal_stages_heads_and_widths_are_refused(build: Callable[[], Pipeline], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_the_vectorised_step_refuses_a_pipeline() -> None:
    network, images, labels = small()
    with pytest.raises(ValueError, match=r"network is a Pipeline, .*legal for vectorised_step: a Cascade"):
        vectorised_step(network, images, labels, 0.5)


@each_step
def test_fewer_labels_than_images_are_refused(step: Step) -> None:
    network, images, labels = small()
    with pytest.raises(ValueError, match=r"labels have shape \[\d+\]; legal: \[\d+\], one label per image"):
        step(network, images, labels[:-1], 0.5)
