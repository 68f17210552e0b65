"""Units of a user's network that do not fit together, ask for contents, or share weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import RunCli
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import BenchError, ConfigError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.train.meta_tensors import meta_tensors
from bench.train.networks.build import build_network
from bench.train.networks.units import unit_sizes
from bench.train.step import build_step

SHAPE = (3, 8, 8)
UNITS = """
import torch
from torch import nn


class Named(nn.Module):
    def __init__(self, function, *parts):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, features):
        return self.function(features, *self.parts)


def units(*functions):
    return [nn.Conv2d(3, 4, 1), *map(Named, functions)]


pair = units(lambda features: (features, features))
nothing = units(lambda features: None)
reader = units(lambda features: features if features.sum() > 0 else -features)
wide = [nn.Conv2d(3, 4, 1), nn.Conv2d(5, 4, 1)]
folded = units(lambda features: features.flatten(0, 1))
five = units(lambda features: features[..., None])
scalar = units(lambda features: features.sum())
in_place = [nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh()), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)]
between = [nn.Conv2d(3, 4, 1), nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2)]
block = nn.Linear(12, 12)
tied = [nn.Sequential(nn.Flatten(), nn.Linear(192, 12)), block, block]
alone = nn.Linear(3, 3)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text(UNITS)


def cell_of(attribute: str, **axes: object) -> Cell:
    axes = {"modules": 2, "method": "bp", "passes": ["memory"], **axes}
    images = {"dataset": "random", "image_size": 8, "channels": 3, "batch_size": 4}
    return make_cell({"network": f"odd.py:{attribute}", **images, **axes})


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("pair", r"unit 2 of 2, Named, gets a tensor of shape \[2, 4, 8, 8\], and gives a tuple; legal: one tensor"),
        ("nothing", "gives a NoneType; legal: one tensor"),
        ("reader", "reads the contents of a tensor .*; legal: a unit whose operators do not depend on the contents"),
        (
            "wide",
            r"unit 2 of 2, Conv2d, gets a tensor of shape \[2, 4, 8, 8\], and fails: .*; legal: a unit that takes",
        ),
        ("folded", r"unit 2 of 2, Named, ends a stage and gives features of shape \[8, 8, 8\] for 2 images; legal: \["),
        ("five", r"features of shape \[2, 4, 8, 8, 1\] for 2 images; legal: \[B, d\], \[B, tokens, d\] or"),
        ("scalar", "for 2 images; legal: "),
    ],
)
@pytest.mark.usefixtures("file")
def test_a_unit_that_does_not_fit_is_named_with_what_it_gets(attribute: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(cell_of(attribute), SHAPE, 10)
    with pytest.raises(BenchError, match=message):
        predict_memory(cell_of(attribute), SHAPE, 10)


@pytest.mark.usefixtures("file")
def test_a_module_that_is_no_list_is_refused_as_what_it_is() -> None:
    with pytest.raises(ConfigError, match=r"gives a Linear; legal: a sid_core\.BeliefNetwork, or a list"):
        cell_of("alone")


@pytest.mark.usefixtures("file")
def test_a_unit_within_a_stage_may_give_any_shape() -> None:
    cell = cell_of("between")
    with pytest.raises(ConfigError, match="unit 2 of 3, Unflatten, ends a stage"):
        build_network(cell_of("between", modules=3), SHAPE, 10)
    assert len(build_network(cell, SHAPE, 10).local_modules) == 2


@pytest.mark.usefixtures("file")
def test_a_step_that_fails_with_contents_as_well_is_not_said_to_be_measurable() -> None:
    cell = cell_of("in_place", modules=1)
    step = build_step(cell, SHAPE, 10)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        measure_memory(step, torch.zeros(4, *SHAPE), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(RuntimeError, match=r"^one of the variables needed for gradient computation has been modified"):
        predict_memory(cell, SHAPE, 10)


@pytest.mark.parametrize("context", [torch.enable_grad, meta_tensors])
@pytest.mark.usefixtures("file")
def test_a_list_of_modules_keeps_what_its_modules_share(context: Callable[[], object]) -> None:
    build_network(cell_of("tied", modules=3), SHAPE, 10)  # the list is made once in a process: not as meta tensors
    with context():  # type: ignore[attr-defined]
        first, second = build_network(cell_of("tied", modules=3), SHAPE, 10).local_modules[1:]
    assert first.stage[0].weight is second.stage[0].weight


@pytest.mark.usefixtures("file")
def test_shared_weights_count_once_measured_and_planned() -> None:
    cell = cell_of("tied", modules=3)
    step = build_step(cell, SHAPE, 10)
    measured = measure_memory(step, torch.zeros(4, *SHAPE), torch.zeros(4, dtype=torch.int64))
    planned = predict_memory(cell, SHAPE, 10)
    assert planned.peak_total_bytes == measured.peak_total_bytes
    assert planned.parameter_bytes == measured.parameter_bytes
    assert measured.parameter_bytes == 4 * sum(parameter.numel() for parameter in step.network.parameters())


@pytest.mark.usefixtures("file")
@pytest.mark.long
def test_fit_and_plan_say_it_too(cli: RunCli) -> None:
    for command in (
        ["fit", "odd.py:pair", "--budget", "1GiB", "--image-size", "8", "--methods", "bp"],
        ["plan", "--set", "network=odd.py:pair", "--set", "image_size=8", "--set", "channels=3", "--set", "method=bp"],
    ):
        result = cli(*command)
        assert result.exit_code in (1, 2)
        assert "unit 2 of 2, Named," in result.stdout + result.stderr


class _Gives(nn.Module):
    """Gives ``size`` features for each image, whatever it gets."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        return features.flatten(1)[:, :1].expand(-1, self.size)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    broken=st.integers(0, 5),
    fault=st.sampled_from(
        [lambda features: [features], lambda features: features / "0", lambda features: features.missing]
    ),
)
def test_the_unit_that_is_named_is_the_one_at_fault(
    sizes: list[int], broken: int, fault: Callable[[Tensor], object]
) -> None:
    units: list[nn.Module] = [_Gives(size) for size in sizes]
    place = broken % len(units)
    units[place].forward = fault  # type: ignore[method-assign, assignment]
    shape = [2, *SHAPE] if place == 0 else [2, sizes[place - 1]]
    with pytest.raises(ConfigError) as caught:
        unit_sizes(units, SHAPE)
    assert str(caught.value).startswith(
        f"unit {place + 1} of {len(units)}, _Gives, gets a tensor of shape {shape}, and "
    )
