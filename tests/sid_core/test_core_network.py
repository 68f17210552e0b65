"""The network: what it computes, how it is saved, and which sizes it takes."""

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sid_core import Cascade, LocalModule, cascade, convolutional_trunk, linear_trunk

# The authors' default trunk (paper, section "Architecture"): a layer with its channels or features in and out.
AUTHORS_TRUNK = [
    ("Conv2d", 3, 32),
    ("ReLU",),
    ("Conv2d", 32, 64),
    ("ReLU",),
    ("MaxPool2d", 2),
    ("Conv2d", 64, 128),
    ("ReLU",),
    ("Conv2d", 128, 128),
    ("ReLU",),
    ("MaxPool2d", 2),
    ("AdaptiveAvgPool2d", 1),
    ("Flatten",),
    ("Linear", 128, 128),
]
AUTHORS_SIZES = {"modules": 10, "classes": 10, "channels": 3, "feature_dim": 128, "hidden": 256, "depth": 10}


def describe(layer: nn.Module) -> tuple[Any, ...]:
    """A layer as an entry of the list of the authors' layers."""
    kind = type(layer).__name__
    match layer:
        case nn.Conv2d():
            assert (layer.kernel_size, layer.padding, layer.stride) == ((3, 3), (1, 1), (1, 1))
            assert layer.bias is not None
            return kind, layer.in_channels, layer.out_channels
        case nn.Linear():
            assert layer.bias is not None
            return kind, layer.in_features, layer.out_features
        case nn.MaxPool2d():
            return kind, layer.kernel_size
        case nn.AdaptiveAvgPool2d():
            return kind, layer.output_size
    return (kind,)


def small_network(depth: int = 6) -> Cascade:
    torch.manual_seed(0)
    return cascade(3, 5, 1, 4, 8, depth=depth, trunk=linear_trunk(9, 4))


def small_images(batch: int = 6) -> Tensor:
    return torch.randn(batch, 1, 3, 3, generator=torch.Generator().manual_seed(1))


def belief_by_hand(network: Cascade, images: Tensor) -> list[Tensor]:
    """``logits_1`` to ``logits_L`` by the equations of the paper."""
    features = network.trunk(images)
    belief = torch.full((len(images), network.classes), 1 / network.classes)
    all_logits = []
    for module in network.local_modules:
        hidden = torch.cat((belief, features), dim=1)
        *inner, last = [layer for layer in module.mlp if isinstance(layer, nn.Linear)]
        for layer in inner:
            hidden = (hidden @ layer.weight.t() + layer.bias).clamp_min(0)
        all_logits.append(hidden @ last.weight.t() + last.bias)
        belief = all_logits[-1].softmax(dim=1)
    return all_logits


@pytest.mark.parametrize("depth", [3, 6, 9])
def test_every_module_refines_the_belief_of_the_one_before(depth: int) -> None:
    network = small_network(depth)
    for logits, expected in zip(
        network.logits_by_module(small_images()), belief_by_hand(network, small_images()), strict=True
    ):
        torch.testing.assert_close(logits, expected)


def test_the_prediction_is_the_last_modules_logits() -> None:
    network = small_network()
    assert torch.equal(network(small_images()), list(network.logits_by_module(small_images()))[-1])


def test_backpropagation_reaches_every_parameter_through_the_beliefs() -> None:
    network = small_network()
    network(small_images()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    first = network.local_modules[0].mlp[0].weight.grad
    assert float(first.abs().max()) > 0


def test_prediction_works_without_gradients_in_evaluation_mode() -> None:
    network = small_network()
    expected = network(small_images()).detach()
    with torch.no_grad():
        prediction = network.eval()(small_images())
    assert not prediction.requires_grad
    assert torch.equal(prediction, expected)


def test_prediction_works_in_inference_mode() -> None:
    network = small_network().eval()
    expected = network(small_images()).detach()
    with torch.inference_mode():
        assert torch.equal(network(small_images()), expected)


def test_the_first_belief_is_uniform() -> None:
    assert torch.equal(small_network().initial_belief(torch.zeros(2, 4)), torch.full((2, 5), 0.2))


def test_a_stored_state_gives_identical_outputs() -> None:
    network = small_network()
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = cascade(3, 5, 1, 4, 8, depth=6, trunk=linear_trunk(9, 4))
    assert not torch.equal(other(small_images()), network(small_images()))
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(small_images()), network(small_images()))


def test_an_exported_network_gives_equal_outputs_for_any_batch_size() -> None:
    network = small_network().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (small_images(),), dynamic_shapes=({0: batch},))
    exported = program.module()
    for size in (6, 1, 13):
        torch.testing.assert_close(exported(small_images(size)), network(small_images(size)), rtol=0, atol=0)


def test_parameters_are_listed_trunk_first_then_module_by_module() -> None:
    names = [name for name, _ in small_network().named_parameters()]
    trunk = ["trunk.1.weight", "trunk.1.bias"]
    layers = [f"{index}.{part}" for index in (0, 2, 4) for part in ("weight", "bias")]
    assert names == trunk + [f"local_modules.{module}.mlp.{layer}" for module in range(3) for layer in layers]


def test_the_default_trunk_is_the_authors() -> None:
    trunk = cascade(**AUTHORS_SIZES).trunk
    assert isinstance(trunk, nn.Sequential)
    assert [describe(layer) for layer in trunk] == AUTHORS_TRUNK
    assert [describe(layer) for layer in convolutional_trunk(3)] == AUTHORS_TRUNK


def test_the_default_modules_are_the_authors() -> None:
    network = cascade(10, 10, 3)
    assert len(network.local_modules) == 10
    for module in network.local_modules:
        assert [describe(layer) for layer in module.mlp] == [("Linear", 138, 256), ("ReLU",), ("Linear", 256, 10)]


def test_every_module_has_an_equal_share_of_the_depth() -> None:
    network = small_network(depth=9)
    for module in network.local_modules:
        assert [describe(layer) for layer in module.mlp] == [
            ("Linear", 9, 8),
            ("ReLU",),
            ("Linear", 8, 8),
            ("ReLU",),
            ("Linear", 8, 8),
            ("ReLU",),
            ("Linear", 8, 5),
        ]


@pytest.mark.parametrize("size", [4, 7, 28])
def test_the_default_trunk_takes_images_of_four_pixels_or_more(size: int) -> None:
    assert convolutional_trunk(2, 16)(torch.zeros(3, 2, size, size + 1)).shape == (3, 16)


@pytest.mark.parametrize("size", [0, -1, 1.5, 2.0, True, "3", float("nan")], ids=repr)
@pytest.mark.parametrize("name", AUTHORS_SIZES)
def test_the_error_for_an_illegal_size_has_its_name_its_value_and_the_legal_values(name: str, size: Any) -> None:
    with pytest.raises(ValueError, match=r"legal: integers of 1 or more") as caught:
        cascade(**AUTHORS_SIZES | {name: size})
    assert f"{name} = {size!r};" in str(caught.value)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="classes = 1; legal: 2 or more"):
        cascade(2, 1, 1)


def test_modules_that_do_not_divide_depth_are_refused_with_the_legal_counts() -> None:
    with pytest.raises(ValueError, match="modules = 5 does not divide depth = 12; legal: 1, 2, 3, 4, 6, 12"):
        cascade(5, 10, 1, depth=12)


def test_more_modules_than_depth_are_refused() -> None:
    with pytest.raises(ValueError, match="modules = 8 does not divide depth = 4; legal: 1, 2, 4"):
        cascade(8, 10, 1, depth=4)


def test_a_cascade_without_modules_is_refused() -> None:
    with pytest.raises(ValueError, match="local_modules is empty; legal: at least one module"):
        Cascade(nn.Flatten(), [], 10)


def test_a_cascade_takes_modules_of_any_kind() -> None:
    network = Cascade(nn.Flatten(), [LocalModule(9, 5, 8), LocalModule(9, 5, 16, layers=2)], 5)
    assert network(small_images()).shape == (6, 5)


@pytest.mark.long
def test_the_core_imports_nothing_from_the_bench() -> None:
    code = "import sys, sid_core, sid_core.steps.closed_form; print(sorted(name.split('.')[0] for name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'sid_core'" in found
    assert "'bench'" not in found
