"""Which modules have a closed form, and that all others train with the gradients of published."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations

from sid_core import Cascade, LocalModule, cascade, linear_trunk, published_step, streamed_step
from sid_core.steps.closed_form import has_closed_form

Attach = Callable[[LocalModule, list[str]], object]


class _Subclass(LocalModule):
    """A subclass with other logits."""

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        """Halved logits."""
        return super().forward(belief, features) / 2


class _BiggerLinear(nn.Linear):
    """A linear layer whose output is doubled."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Doubled."""
        return 2 * super().forward(input)


def doubles_output(fired: list[str]) -> Callable[..., Tensor]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        fired.append("forward")
        return 2 * output

    return hook


def doubles_inputs(fired: list[str]) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        fired.append("forward pre")
        return tuple(2 * value for value in inputs)

    return hook


def doubles_input_gradients(fired: list[str]) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Tensor | None, ...], _outputs: Any) -> Any:
        fired.append("backward")
        return tuple(None if value is None else 2 * value for value in inputs)

    return hook


def doubles_output_gradients(fired: list[str]) -> Callable[..., Any]:
    def hook(_module: nn.Module, outputs: tuple[Tensor, ...]) -> Any:
        fired.append("backward pre")
        return tuple(2 * value for value in outputs)

    return hook


def doubles_gradient(fired: list[str]) -> Callable[[Tensor], Tensor]:
    def hook(gradient: Tensor) -> Tensor:
        fired.append("parameter")
        return 2 * gradient

    return hook


def doubles_accumulated_gradient(fired: list[str]) -> Callable[[Tensor], None]:
    def hook(parameter: Tensor) -> None:
        fired.append("accumulated")
        assert parameter.grad is not None
        parameter.grad *= 2

    return hook


# Every hook changes what it gets, so that a step which does not call it gives other gradients.
HOOKS: dict[str, Attach] = {
    "forward hook on the module": lambda module, fired: module.register_forward_hook(doubles_output(fired)),
    "forward hook on the stack": lambda module, fired: module.mlp.register_forward_hook(doubles_output(fired)),
    "forward hook on a linear layer": lambda module, fired: module.mlp[2].register_forward_hook(doubles_output(fired)),
    "forward hook on a ReLU": lambda module, fired: module.mlp[1].register_forward_hook(doubles_output(fired)),
    "forward pre-hook on the module": lambda module, fired: module.register_forward_pre_hook(doubles_inputs(fired)),
    "forward pre-hook on a layer": lambda module, fired: module.mlp[0].register_forward_pre_hook(doubles_inputs(fired)),
    "backward hook on the module": lambda module, fired: module.register_full_backward_hook(
        doubles_input_gradients(fired)
    ),
    "backward hook on the stack": lambda module, fired: module.mlp.register_full_backward_hook(
        doubles_input_gradients(fired)
    ),
    "backward hook on a linear layer": lambda module, fired: module.mlp[2].register_full_backward_hook(
        doubles_input_gradients(fired)
    ),
    "backward hook on a ReLU": lambda module, fired: module.mlp[1].register_full_backward_hook(
        doubles_input_gradients(fired)
    ),
    "backward pre-hook on the module": lambda module, fired: module.register_full_backward_pre_hook(
        doubles_output_gradients(fired)
    ),
    "backward pre-hook on a layer": lambda module, fired: module.mlp[2].register_full_backward_pre_hook(
        doubles_output_gradients(fired)
    ),
    "hook on a weight": lambda module, fired: module.mlp[0].weight.register_hook(doubles_gradient(fired)),
    "hook on a bias": lambda module, fired: module.mlp[2].bias.register_hook(doubles_gradient(fired)),
    "post-accumulate hook on a weight": lambda module, fired: module.mlp[2].weight.register_post_accumulate_grad_hook(
        doubles_accumulated_gradient(fired)
    ),
    "post-accumulate hook on a bias": lambda module, fired: module.mlp[0].bias.register_post_accumulate_grad_hook(
        doubles_accumulated_gradient(fired)
    ),
}


def replace_layer(index: int, make: Callable[[], nn.Module]) -> Attach:
    def attach(module: LocalModule, _fired: list[str]) -> None:
        module.mlp[index] = make().double()

    return attach


def put_dropout_after_the_relu(module: LocalModule, _fired: list[str]) -> None:
    module.mlp.insert(2, nn.Dropout(0.5))


def put_the_relu_last(module: LocalModule, _fired: list[str]) -> None:
    module.mlp.append(nn.ReLU())


def make_the_stack_negate(module: LocalModule, _fired: list[str]) -> None:
    class Stack(nn.Sequential):
        """A sequence that negates its output."""

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
            """Negated."""
            return -super().forward(input)

    module.mlp = Stack(*module.mlp)


CHANGES: dict[str, Attach] = {
    "GELU for ReLU": replace_layer(1, nn.GELU),
    "identity for ReLU": replace_layer(1, nn.Identity),
    "subclass of linear": replace_layer(2, lambda: _BiggerLinear(8, 5)),
    "first layer without bias": replace_layer(0, lambda: nn.Linear(9, 8, bias=False)),
    "last layer without bias": replace_layer(2, lambda: nn.Linear(8, 5, bias=False)),
    "weight norm": lambda module, _: parametrizations.weight_norm(module.mlp[0]),
    "orthogonal weights": lambda module, _: parametrizations.orthogonal(module.mlp[2]),
    "a last ReLU": put_the_relu_last,
    "subclass of the stack": make_the_stack_negate,
}

each_attachment = pytest.mark.parametrize("attach", [*HOOKS.values(), *CHANGES.values()], ids=[*HOOKS, *CHANGES])


def small_network(attach: Attach | None = None, fired: list[str] | None = None) -> tuple[Cascade, Tensor, Tensor]:
    """Three modules in float64, the middle one changed by ``attach``; the same weights and batch in every call."""
    torch.manual_seed(3)
    network = cascade(3, 5, 1, 4, 8, trunk=linear_trunk(9, 4)).double()
    images, labels = torch.randn(6, 1, 3, 3, dtype=torch.float64), torch.randint(5, (6,))
    if attach is not None:
        module = network.local_modules[1]
        assert isinstance(module, LocalModule)
        attach(module, [] if fired is None else fired)
    return network, images, labels


def assert_same_gradients(ours: Cascade, reference: Cascade, tolerance: float = 1e-12) -> None:
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_local_module_as_built_has_a_closed_form(layers: int, dtype: torch.dtype) -> None:
    assert has_closed_form(LocalModule(4, 5, 8, layers).to(dtype))


def test_a_module_with_frozen_parameters_has_a_closed_form() -> None:
    assert has_closed_form(LocalModule(4, 5, 8).requires_grad_(False))


@pytest.mark.parametrize(
    "module", [nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3)), nn.Identity()], ids=["linear", "sequence", "identity"]
)
def test_a_module_of_another_kind_has_no_closed_form(module: nn.Module) -> None:
    assert not has_closed_form(module)


@each_attachment
def test_a_module_with_a_hook_or_a_change_has_no_closed_form(attach: Attach) -> None:
    network, *_ = small_network(attach)
    assert [has_closed_form(module) for module in network.local_modules] == [True, False, True]


@each_attachment
def test_streamed_gives_the_gradients_of_published_with_a_hook_or_a_change(attach: Attach) -> None:
    network, images, labels = small_network(attach)
    reference, *_ = small_network(attach)
    loss = streamed_step(network, images, labels, 0.4)
    reference_loss = published_step(reference, images, labels, 0.4)
    assert float(loss) == pytest.approx(float(reference_loss), rel=1e-12)
    assert_same_gradients(network, reference)


@pytest.mark.parametrize("attach", HOOKS.values(), ids=HOOKS.keys())
def test_a_hook_is_called_once_in_a_streamed_step(attach: Attach) -> None:
    fired: list[str] = []
    network, images, labels = small_network(attach, fired)
    streamed_step(network, images, labels, 0.4)
    assert len(fired) == 1


@pytest.mark.parametrize("attach", HOOKS.values(), ids=HOOKS.keys())
def test_a_hook_that_changes_gradients_changes_those_of_streamed(attach: Attach) -> None:
    hooked, images, labels = small_network(attach)
    plain, *_ = small_network()
    streamed_step(hooked, images, labels, 0.4)
    streamed_step(plain, images, labels, 0.4)
    pairs = zip(hooked.parameters(), plain.parameters(), strict=True)
    assert any(not torch.allclose(mine.grad, theirs.grad) for mine, theirs in pairs)


@pytest.mark.parametrize("attach", HOOKS.values(), ids=HOOKS.keys())
def test_a_module_whose_hook_is_removed_has_a_closed_form_again(attach: Attach) -> None:
    module = LocalModule(4, 5, 8)
    handle: Any = attach(module, [])
    assert not has_closed_form(module)
    handle.remove()
    assert has_closed_form(module)


def test_a_subclass_has_no_closed_form_and_trains_as_with_published() -> None:
    network, images, labels = small_network()
    reference, *_ = small_network()
    for cascade_ in (network, reference):
        torch.manual_seed(4)
        cascade_.local_modules[1] = _Subclass(4, 5, 8).double()
    assert not has_closed_form(network.local_modules[1])
    streamed_step(network, images, labels, 0.4)
    published_step(reference, images, labels, 0.4)
    assert_same_gradients(network, reference)


def test_a_module_with_dropout_has_no_closed_form_and_trains_as_with_published_in_evaluation_mode() -> None:
    network, images, labels = small_network(put_dropout_after_the_relu)
    reference, *_ = small_network(put_dropout_after_the_relu)
    assert not has_closed_form(network.local_modules[1])
    streamed_step(network.eval(), images, labels, 0.4)
    published_step(reference.eval(), images, labels, 0.4)
    assert_same_gradients(network, reference)


def test_dropout_changes_the_loss_in_training_mode() -> None:
    network, images, labels = small_network(put_dropout_after_the_relu)
    undropped, *_ = small_network(put_dropout_after_the_relu)
    streamed_step(network.train(), images, labels, 0.4)
    streamed_step(undropped.eval(), images, labels, 0.4)
    last = [network_.local_modules[1].mlp[3].weight.grad for network_ in (network, undropped)]
    assert not torch.allclose(*last)


def test_double_precision_modules_have_no_closed_form_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert has_closed_form(LocalModule(4, 5, 8))
        assert not has_closed_form(LocalModule(4, 5, 8).double())
        with torch.autocast("cpu", enabled=False):
            assert has_closed_form(LocalModule(4, 5, 8).double())


def test_under_autocast_streamed_gives_the_gradients_of_published_in_the_precision_of_autocast() -> None:
    network, images, labels = small_network()
    reference, *_ = small_network()
    images = images.float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = streamed_step(network.float(), images, labels, 0.4)
        reference_loss = published_step(reference.float(), images, labels, 0.4)
    assert float(loss) == pytest.approx(float(reference_loss), rel=0.02)
    scale = max(float(parameter.grad.abs().max()) for parameter in reference.parameters() if parameter.grad is not None)
    assert_same_gradients(network, reference, 0.02 * scale)


def test_a_global_hook_is_called_in_a_streamed_step() -> None:
    network, images, labels = small_network()
    seen: list[nn.Module] = []
    handle = register_module_forward_hook(lambda module, _inputs, _output: seen.append(module))
    try:
        streamed_step(network, images, labels, 0.4)
    finally:
        handle.remove()
    assert all(module in seen for module in network.local_modules)
