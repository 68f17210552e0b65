"""Batches of a single image, and networks that cannot train on one: refused before anything runs, and no others are."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.config.batches import EVALUATION_BATCH, SampleCounts, refuse_single_images
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.plan.grid import lines_of, memory_cells
from bench.train.step import build_step

NETWORKS = '''
import torch
from torch import nn

from sid_core import cascade


class Looks(nn.Module):
    """Looks at contents, which tensors without contents do not have."""

    def forward(self, features):
        return features if float(features.detach().sum()) > -1e9 else -features


class Squeezes(nn.Module):
    """Loses the dimension of a batch of one."""

    def forward(self, features):
        return features.squeeze(0) if len(features) == 1 else features


class Refuses(nn.Module):
    def forward(self, features):
        raise ValueError("whatever the batch")


def flat(*units):
    def build(shape):
        channels, height, width = shape
        return [nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 4)), *units]

    return build


def mapped(*units, stride=1):
    def build(shape):
        return [nn.Conv2d(shape[0], 4, shape[1] if stride == "all" else 1), *units]

    return build


def looking(last):
    def build(shape, classes, modules, hidden):
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 4), Looks(), last)
        return cascade(modules, classes, shape[0], 4, hidden, trunk=trunk)

    return build


plain = flat(nn.ReLU())
batch_norm = flat(nn.BatchNorm1d(4), nn.Linear(4, 4))
on_maps = mapped(nn.BatchNorm2d(4))
on_pixels = mapped(nn.BatchNorm2d(4), stride="all")
group_norm = mapped(nn.GroupNorm(4, 4), stride="all")
layer_norm = flat(nn.LayerNorm(4))
without_running = flat(nn.BatchNorm1d(4, track_running_stats=False))
looks = looking(nn.BatchNorm1d(4))
looks_plain = looking(nn.ReLU())
squeezes = flat(Squeezes())
refuses = flat(Refuses())
'''
ON_TWO_ONLY = ["batch_norm", "on_pixels", "group_norm", "without_running", "looks", "squeezes"]
ON_ONE = ["plain", "on_maps", "layer_norm", "looks_plain"]
SHAPE, CLASSES = (1, 8, 8), 10


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batches") / "nets.py"
    path.write_text(NETWORKS, encoding="utf-8")
    return path


def cell(network: str, **axes: Any) -> Cell:
    return make_cell({"network": network, "dataset": "digits", "hidden": 4, "passes": ["accuracy"], **axes})


@pytest.mark.parametrize("attribute", [*ON_TWO_ONLY, *ON_ONE])
@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_a_network_that_fails_in_a_real_step_on_one_image_is_refused_and_no_other(
    networks: Path, attribute: str, method: str
) -> None:
    of = cell(f"{networks}:{attribute}", method=method, batch_size=2)
    step = build_step(of, SHAPE, CLASSES)
    step(torch.randn(2, *SHAPE), torch.arange(2))
    counts = SampleCounts(3, 5, 5)  # two images, then one
    if attribute in ON_ONE:
        refuse_single_images(of, SHAPE, CLASSES, counts)
        step(torch.randn(1, *SHAPE), torch.arange(1))
        return
    with pytest.raises(
        ConfigError, match=r"batch_size = 2 makes a last batch of 1 image of the 3 of an epoch.*legal: 3"
    ):
        refuse_single_images(of, SHAPE, CLASSES, counts)
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        step(torch.randn(1, *SHAPE), torch.arange(1))


@pytest.mark.parametrize("passes", [["memory"], ["latency"], ["accuracy"], ["memory", "accuracy"]])
def test_batch_size_1_is_refused_in_every_pass_before_the_data_is_loaded(networks: Path, passes: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"batch_size = 1 makes a batch of 1 image, and network .*legal: 2 or more$"):
        cell(f"{networks}:batch_norm", passes=passes, batch_size=1)
    with pytest.raises(
        ConfigError, match=r"batch_size = 5 in micro_batches = 3 makes a micro-batch of 1 image.*: 6 or"
    ):
        cell(f"{networks}:batch_norm", passes=passes, batch_size=5, micro_batches=3)
    cell(f"{networks}:plain", passes=passes, batch_size=1)
    cell(f"{networks}:batch_norm", passes=passes, batch_size=6, micro_batches=3)


def test_a_network_that_fails_whatever_the_batch_is_not_refused_for_its_batch(networks: Path) -> None:
    of = cell(f"{networks}:refuses", batch_size=1)
    refuse_single_images(of, SHAPE, CLASSES, SampleCounts(3, 5, 5))


def smallest_part(batch_size: int, parts: int, passes: list[str], train: int) -> int:
    """The smallest part that goes through the network, from how torch divides batches."""
    batches = [batch_size] if "memory" in passes else []
    if "accuracy" in passes:
        batches += [len(batch) for batch in torch.arange(train).split(batch_size)]
    return min(
        len(part) for size in batches for part in torch.empty(size, device="meta").tensor_split(min(parts, size))
    )


@settings(deadline=None, max_examples=150)
@given(
    batch_size=st.integers(2, 60),
    parts=st.integers(1, 6),
    train=st.integers(1, 150),
    passes=st.sampled_from([["memory"], ["accuracy"], ["memory", "accuracy"]]),
)
def test_what_is_refused_is_what_leaves_one_image_and_the_legal_sizes_are_the_nearest(
    networks: Path, batch_size: int, parts: int, train: int, passes: list[str]
) -> None:
    assume(batch_size // min(parts, batch_size) > 1)  # others are refused without the data
    of = cell(f"{networks}:batch_norm", batch_size=batch_size, micro_batches=parts, passes=passes)
    try:
        refuse_single_images(of, SHAPE, CLASSES, SampleCounts(train, 5, 5))
        message = None
    except ConfigError as error:
        message = str(error)
    assert (message is not None) == (smallest_part(batch_size, parts, passes, train) < 2)
    if message is None:
        return
    legal = message.rpartition("legal: ")[2]
    near = [int(number) for number in re.findall(r"\d+", legal.partition(",")[0])]
    if legal.startswith("more training images"):
        near = []
    for size in near:
        assert smallest_part(size, parts, passes, train) > 1
    below = max((size for size in near if size < batch_size), default=0)
    above = min((size for size in near if size > batch_size), default=max(train, 2 * parts) + 1)
    for size in range(max(below, 0) + 1, above):
        assert smallest_part(size, parts, passes, train) < 2


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_last_evaluated_image_is_refused_where_evaluation_needs_two(networks: Path, split: str) -> None:
    alone = SampleCounts(**{"train": 64, "validation": 5, "test": 5, split: 2 * EVALUATION_BATCH + 1})
    message = rf"has 257 {split} images, evaluated in batches of 128, the last of 1 image.*cannot evaluate 1 image"
    with pytest.raises(ConfigError, match=message):
        refuse_single_images(cell(f"{networks}:without_running"), SHAPE, CLASSES, alone)
    refuse_single_images(cell(f"{networks}:batch_norm"), SHAPE, CLASSES, alone)
    refuse_single_images(cell(f"{networks}:without_running", passes=["memory"]), SHAPE, CLASSES, alone)


def test_a_prediction_of_one_image_is_refused_where_evaluation_needs_two(networks: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"batch_size = 1 in the pass inference, .*cannot evaluate 1 image.*2 or more$"
    ):
        cell(f"{networks}:without_running", passes=["inference"], batch_size=1)
    cell(f"{networks}:without_running", passes=["inference"], batch_size=2)
    cell(f"{networks}:batch_norm", passes=["inference"], batch_size=1)  # its running statistics are used
    with pytest.raises(ConfigError, match=r"batch_size = 1 makes a batch of 1 image"):
        cell(f"{networks}:batch_norm", passes=["inference", "memory"], batch_size=1)


def test_asking_leaves_the_generator_of_random_numbers_as_it_was(networks: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    cell(f"{networks}:looks_plain", batch_size=1, seed=3)
    cell(f"{networks}:layer_norm", batch_size=1, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_plan_searches_from_the_smallest_legal_batch_also_where_only_the_data_tell_the_shape(
    networks: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.py"
    data.write_text(
        "import torch\n\n\ndef tiny():\n    return torch.zeros(20, 1, 8, 8), torch.arange(20) % 2\n", encoding="utf-8"
    )
    cells = [cell(f"{networks}:on_pixels", dataset=f"{data}:tiny", passes=["memory"], batch_size=8)]
    assert [line.batch_size for line in lines_of(memory_cells(cells))] == [2]
    cells = [cell(f"{networks}:on_pixels", dataset=f"{data}:tiny", passes=["memory"], batch_size=1)]
    with pytest.raises(ConfigError, match="batch_size = 1 makes a batch of 1 image"):
        memory_cells(cells)
