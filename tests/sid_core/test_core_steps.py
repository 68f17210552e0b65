"""The cheaper steps compared with published, over random shapes."""

import copy
import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from sid_core import Cascade, cascade, convolutional_trunk, linear_trunk, published_step, streamed_step, vectorised_step
from sid_core.objective import Direction, Reduction

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
CHANNELS, SIDE = 2, 4
PIXELS = CHANNELS * SIDE * SIDE
# The fixture, which runs once for all examples, only sets the number of threads.
REPEATABLE = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])

ILLEGAL_ALPHAS = [0, -1, 1.5, math.nan, math.inf, True, "x", [0.5], [0.5] * 4, [0.5, 0.5, 0.0], [0.5, 0.5, True]]
ILLEGAL_ALPHAS += [torch.tensor(0.0), torch.tensor([0.5, 0.5]), torch.full((3, 1), 0.5), torch.tensor([True] * 3)]

CHEAPER_STEPS = {
    "streamed": streamed_step,
    "streamed through autograd": partial(streamed_step, closed_form=False),
    "streamed, trunk run again": partial(streamed_step, recompute_trunk=True),
    "vectorised": vectorised_step,
    "vectorised, two at a time": partial(vectorised_step, chunk=2),
}
STEPS = {"published": published_step, **CHEAPER_STEPS}
each_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
each_streamed_step = pytest.mark.parametrize("step", list(CHEAPER_STEPS.values())[:2], ids=list(CHEAPER_STEPS)[:2])
cheaper_steps = st.sampled_from(list(CHEAPER_STEPS)).map(CHEAPER_STEPS.__getitem__)


@dataclass(frozen=True)
class Case:
    """A network, a batch and an alpha, all drawn from ``seed``."""

    modules: int
    layers: int
    classes: int
    batch: int
    width: int
    hidden: int
    trunk: str
    dtype: torch.dtype
    alpha: Any
    scale: float
    seed: int
    direction: Direction = "forward"
    smoothing: float = 0.1
    reduction: Reduction = "sum"

    def step(self, step: Any, network: Cascade, images: Tensor, labels: Tensor) -> Tensor:
        """Runs ``step`` with the alpha and the objective of the case."""
        loss: Tensor = step(
            network,
            images,
            labels,
            self.alpha,
            direction=self.direction,
            smoothing=self.smoothing,
            reduction=self.reduction,
        )
        return loss

    def build(self) -> tuple[Cascade, Tensor, Tensor]:
        """The network, images and labels: the same ones in every call."""
        torch.manual_seed(self.seed)
        trunk: nn.Module = nn.Flatten()
        if self.trunk == "linear":
            trunk = linear_trunk(PIXELS, self.width)
        elif self.trunk == "convolutional":
            trunk = convolutional_trunk(CHANNELS, self.width)
        width = PIXELS if self.trunk == "flatten" else self.width
        depth = self.modules * self.layers
        network = cascade(self.modules, self.classes, CHANNELS, width, self.hidden, depth=depth, trunk=trunk)
        network = network.to(self.dtype)
        with torch.no_grad():
            for parameter in network.local_modules.parameters():
                parameter.mul_(self.scale)  # beliefs far from uniform
        images = torch.randn(self.batch, CHANNELS, SIDE, SIDE, dtype=self.dtype)
        return network, images, torch.randint(self.classes, (self.batch,))


def alphas(modules: int) -> st.SearchStrategy[Any]:
    number = st.floats(0.01, 1) | st.just(1) | st.just(1.0)
    numbers = st.lists(number, min_size=modules, max_size=modules)
    as_tensor = numbers.map(lambda values: torch.tensor(values, dtype=torch.float64))
    return number | numbers | numbers.map(tuple) | as_tensor | number.map(torch.tensor)


@st.composite
def cases(draw: st.DrawFn, trunks: tuple[str, ...] = ("linear", "flatten", "convolutional")) -> Case:
    modules = draw(st.integers(1, 6))
    return Case(
        modules=modules,
        layers=draw(st.integers(1, 3)),
        classes=draw(st.integers(2, 12)),
        batch=draw(st.integers(1, 9)),
        width=draw(st.integers(1, 9)),
        hidden=draw(st.integers(1, 17)),
        trunk=draw(st.sampled_from(trunks)),
        dtype=draw(st.sampled_from([torch.float64, torch.float32])),
        alpha=draw(alphas(modules)),
        scale=draw(st.sampled_from([1.0, 2.5])),
        seed=draw(st.integers(0, 2**32)),
        direction=draw(st.sampled_from(["forward", "reverse"])),
        smoothing=draw(st.floats(1e-4, 0.99)),
        reduction=draw(st.sampled_from(["sum", "mean"])),
    )


def small_network() -> tuple[Cascade, Tensor, Tensor]:
    """Three modules on a linear trunk, six samples of five classes, float64."""
    return Case(3, 1, 5, 6, 4, 8, "linear", torch.float64, 0.5, 1.0, 0).build()


def gradients(network: Cascade) -> list[Tensor | None]:
    return [parameter.grad for parameter in network.parameters()]


def assert_same_gradients(ours: Cascade, reference: Cascade, tolerance: float) -> None:
    """Compares with the largest entry of all reference gradients as the scale."""
    pairs = list(zip(gradients(ours), gradients(reference), strict=True))
    assert [mine is None for mine, _ in pairs] == [theirs is None for _, theirs in pairs]
    known = [(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None]
    assert known
    scale = max(float(theirs.abs().max()) for _, theirs in known)
    error = max(float((mine - theirs).abs().max()) for mine, theirs in known)
    assert error <= tolerance * max(1e-30, scale)


def assert_same_loss(ours: Tensor, reference: Tensor, tolerance: float) -> None:
    assert ours.shape == reference.shape == ()
    assert ours.dtype == reference.dtype
    assert not ours.requires_grad
    assert not reference.requires_grad
    assert float(ours) == pytest.approx(float(reference), rel=tolerance, abs=tolerance)


@settings(REPEATABLE, max_examples=80)
@given(cases(), cheaper_steps)
@pytest.mark.long
def test_a_cheaper_step_gives_the_loss_and_gradients_of_published(case: Case, step: Any) -> None:
    network, images, labels = case.build()
    reference, *_ = case.build()
    loss = case.step(step, network, images, labels)
    reference_loss = case.step(published_step, reference, images, labels)
    assert_same_loss(loss, reference_loss, TOLERANCE[case.dtype])
    assert_same_gradients(network, reference, TOLERANCE[case.dtype])


@settings(REPEATABLE, max_examples=30)
@given(cases(), cheaper_steps)
def test_a_cheaper_step_adds_to_existing_gradients(case: Case, step: Any) -> None:
    network, images, labels = case.build()
    reference, *_ = case.build()
    case.step(published_step, reference, images, labels)
    before = [torch.randn_like(parameter) for parameter in network.parameters()]
    buffers = [gradient.clone() for gradient in before]
    for parameter, twin, buffer in zip(network.parameters(), reference.parameters(), buffers, strict=True):
        parameter.grad = buffer
        assert twin.grad is not None
        twin.grad += buffer
    case.step(step, network, images, labels)
    assert_same_gradients(network, reference, TOLERANCE[case.dtype])
    if step in list(CHEAPER_STEPS.values())[:2]:  # vectorised copies gradients into its buffers
        assert all(parameter.grad is buffer for parameter, buffer in zip(network.parameters(), buffers, strict=True))


@each_step
def test_two_steps_without_zeroing_give_twice_the_gradients(step: Any) -> None:
    once, images, labels = small_network()
    twice, *_ = small_network()
    step(once, images, labels, 0.5)
    step(twice, images, labels, 0.5)
    step(twice, images, labels, 0.5)
    for parameter in once.parameters():
        assert parameter.grad is not None
        parameter.grad *= 2
    assert_same_gradients(twice, once, 1e-12)


@settings(REPEATABLE, max_examples=40)
@given(cases(("linear", "flatten")), cheaper_steps, st.data())
def test_frozen_parameters_get_no_gradient_and_do_not_change_others(case: Case, step: Any, data: st.DataObject) -> None:
    network, images, labels = case.build()
    reference, *_ = case.build()
    count = len(list(network.parameters()))
    trainable = data.draw(st.sets(st.integers(0, count - 1), min_size=1), label="trainable")
    for index, (parameter, twin) in enumerate(zip(network.parameters(), reference.parameters(), strict=True)):
        parameter.requires_grad_(index in trainable)
        twin.requires_grad_(index in trainable)
    case.step(step, network, images, labels)
    case.step(published_step, reference, images, labels)
    assert [gradient is not None for gradient in gradients(network)] == [index in trainable for index in range(count)]
    assert_same_gradients(network, reference, TOLERANCE[case.dtype])


@settings(REPEATABLE, max_examples=15)
@given(cases(("linear", "flatten")), cheaper_steps)
def test_images_that_require_a_gradient_get_that_of_published(case: Case, step: Any) -> None:
    network, images, labels = case.build()
    reference, *_ = case.build()
    own_images, reference_images = images.clone().requires_grad_(), images.clone().requires_grad_()
    case.step(step, network, own_images, labels)
    case.step(published_step, reference, reference_images, labels)
    assert own_images.grad is not None
    assert reference_images.grad is not None
    scale = max(1e-30, float(reference_images.grad.abs().max()))
    assert float((own_images.grad - reference_images.grad).abs().max()) <= TOLERANCE[case.dtype] * scale


class _TransposedLogits(nn.Module):
    """A module that has no closed form, and whose logits are not contiguous."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, classes + width))

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        logits: Tensor = (self.weight @ torch.cat((belief, features), dim=1).t()).t()
        return logits


@each_streamed_step
def test_streamed_takes_modules_of_any_kind(step: Any) -> None:
    network, images, labels = small_network()
    reference, *_ = small_network()
    for cascade_ in (network, reference):
        torch.manual_seed(1)
        cascade_.local_modules[1] = _TransposedLogits(4, 5).double()
    loss = step(network, images, labels, 0.3)
    assert_same_loss(loss, published_step(reference, images, labels, 0.3), 1e-12)
    assert_same_gradients(network, reference, 1e-12)


@each_streamed_step
def test_modules_that_share_their_weights_get_the_sum_of_their_gradients(step: Any) -> None:
    network, images, labels = small_network()
    reference, *_ = small_network()
    for cascade_ in (network, reference):
        cascade_.local_modules[2] = cascade_.local_modules[0]
    step(network, images, labels, 0.3)
    published_step(reference, images, labels, 0.3)
    assert_same_gradients(network, reference, 1e-12)


@each_step
def test_a_step_computes_gradients_under_no_grad(step: Any) -> None:
    network, images, labels = small_network()
    reference, *_ = small_network()
    with torch.no_grad():
        step(network, images, labels, 0.5)
    step(reference, images, labels, 0.5)
    assert_same_gradients(network, reference, 0)


@each_step
def test_a_step_does_not_change_weights_or_training_mode(step: Any) -> None:
    network, images, labels = small_network()
    network.eval()
    network.local_modules[1].train()
    modes = [module.training for module in network.modules()]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    step(network, images, labels, 0.5)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


@each_step
def test_a_step_does_not_change_images_or_labels(step: Any) -> None:
    network, images, labels = small_network()
    network.trunk = nn.Flatten()  # features that are a view of the images
    network.local_modules = cascade(3, 5, CHANNELS, PIXELS, 8).double().local_modules
    images_before, labels_before = images.clone(), labels.clone()
    step(network, images, labels, 0.5)
    assert torch.equal(images, images_before)
    assert torch.equal(labels, labels_before)
    assert images.grad is None


@each_step
@pytest.mark.parametrize("alpha", ILLEGAL_ALPHAS, ids=repr)
def test_an_illegal_alpha_is_refused_and_gradients_stay(step: Any, alpha: Any) -> None:
    network, images, labels = small_network()
    filled = [parameter for index, parameter in enumerate(network.parameters()) if index % 2]
    for parameter in filled:
        parameter.grad = torch.full_like(parameter, 7)
    with pytest.raises(ValueError, match=r"alpha .*legal"):
        step(network, images, labels, alpha)
    assert all(parameter.grad is not None and bool((parameter.grad == 7).all()) for parameter in filled)
    assert sum(gradient is not None for gradient in gradients(network)) == len(filled)


@each_step
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"direction": "backward"}, "direction = 'backward'; legal: forward, reverse"),
        ({"direction": None}, "direction = None; legal: forward, reverse"),
        ({"reduction": "average"}, "reduction = 'average'; legal: sum, mean"),
        *(
            ({"direction": direction, "smoothing": smoothing}, f"smoothing = {smoothing!r}; legal: numbers in (0, 1)")
            for direction in ("forward", "reverse")
            for smoothing in (0, 1, -0.1, math.nan, True, "x", None)
        ),
    ],
    ids=repr,
)
def test_an_illegal_objective_is_refused_before_anything_runs(step: Any, choice: dict[str, Any], message: str) -> None:
    network, images, labels = small_network()
    network.trunk.register_forward_pre_hook(lambda *_: pytest.fail("the trunk was run"))
    with pytest.raises(ValueError, match=re.escape(message)):
        step(network, images, labels, 0.5, **choice)
    assert all(gradient is None for gradient in gradients(network))


@each_step
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_mean_is_the_sum_divided_by_the_number_of_modules(step: Any, direction: Direction) -> None:
    summed, images, labels = small_network()
    averaged, *_ = small_network()
    total = step(summed, images, labels, 0.3, direction=direction)
    mean = step(averaged, images, labels, 0.3, direction=direction, reduction="mean")
    assert_same_loss(3 * mean, total, 1e-14)
    for parameter in averaged.parameters():
        assert parameter.grad is not None
        parameter.grad *= 3
    assert_same_gradients(averaged, summed, 1e-14)


@each_step
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reverse_is_finite_and_exact_where_beliefs_underflow(step: Any, dtype: torch.dtype) -> None:
    network, images, labels = small_network()
    with torch.no_grad():
        for parameter in network.local_modules.parameters():
            parameter.mul_(60)
    reference = copy.deepcopy(network)
    network, images = network.to(dtype), images.to(dtype)
    with torch.no_grad():
        features = network.trunk(images)
        first = network.local_modules[0](network.initial_belief(features), features).softmax(dim=1)
        assert bool((first == 0).any())
    loss = step(network, images, labels, [0.2, 0.5, 1.0], direction="reverse")
    assert loss.isfinite()
    assert_same_loss(loss.double(), by_hand(reference, images.double(), labels, [0.2, 0.5, 1.0]), TOLERANCE[dtype])
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients(network))


def by_hand(network: Cascade, images: Tensor, labels: Tensor, alphas: list[float]) -> Tensor:
    """The loss in direction ``reverse``, from logarithms of beliefs."""
    label = torch.full((len(labels), network.classes), 0.1 / network.classes, dtype=torch.float64)
    label[torch.arange(len(labels)), labels] += 0.9
    loss = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        features = network.trunk(images)
        log_before = network.initial_belief(features).log()
        for module, alpha in zip(network.local_modules, alphas, strict=True):
            log_belief = module(log_before.exp(), features).log_softmax(dim=1)
            slope = log_belief - alpha * label.log() - (1 - alpha) * log_before
            loss += (log_belief.exp() * slope).sum() / len(labels)
            log_before = log_belief
    return loss


@each_step
def test_labels_that_are_not_classes_are_refused(step: Any) -> None:
    network, images, labels = small_network()
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        step(network, images, torch.full_like(labels, 5), 0.5)
