"""Networks, data sets and rules that are named as a file and an attribute, without a package."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import RunCli
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.analysis.frame import records_frame
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.networks import describe, load_network
from bench.errors import ConfigError, DataError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.store.file import read_records
from bench.train.datasets.own import RawData, load
from bench.train.datasets.splits import load_splits
from bench.train.networks.build import build_network
from bench.train.step import build_step
from sid_core import Pipeline

NETWORKS = '''
"""Networks."""

import torch
from torch import nn

from sid_core import Pipeline, cascade

units = [nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5)]


def of_shape(shape):
    """Units for any image."""
    channels, height, width = shape
    return [nn.Conv2d(channels, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1)]


def whole(shape, classes, modules, cut, hidden):
    """A pipeline that makes its stages itself."""
    stages = [nn.Conv2d(shape[0] if at == 0 else 4, 4, 1) for at in range(modules)]
    return Pipeline.with_heads(stages, [4] * modules, classes, hidden)


def otherwise(s, k, m, c, h):
    """The same with other names."""
    return whole(s, k, m, c, h)


def own_cascade(shape, classes, modules, hidden, width):
    """A cascade."""
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width))
    return cascade(modules, classes, shape[0], width, hidden, trunk=trunk)


def stops(shape, classes, modules):
    raise SystemExit(0)


def too_few(shape, classes, modules):
    return Pipeline.with_heads([nn.Conv2d(shape[0], 4, 1)], [4], classes)


def needs_more(shape, colour):
    return units


def single():
    return torch.nn.Linear(1, 1)


def nothing():
    return []


number = 3
'''


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "networks.py"
    path.write_text(NETWORKS, encoding="utf-8")
    return path


def cell(network: str, **axes: Any) -> Cell:
    sizes = {"dataset": "random", "image_size": 4, "batch_size": 6, "hidden": 7, "passes": ["memory"]}
    return make_cell({"network": network, **sizes, **axes})


METHODS = ["bp", "sid-streamed", "sid-published", "bp-checkpoint", "bp-microbatch"]
OWN = [
    ("units", {}, 4, 4),
    ("units", {"modules": 2}, 4, 2),
    ("units", {"modules": 3, "cut": "balanced", "depth": 9}, 4, 3),
    ("of_shape", {}, 3, 3),
    ("of_shape", {"depth": 64, "modules": 2}, 3, 2),
    ("whole", {"modules": 3}, 3, 3),
    ("otherwise", {"modules": 2}, 2, 2),
    ("own_cascade", {"modules": 2, "width": 9}, 2, 2),
]


@pytest.mark.parametrize(
    ("attribute", "axes", "depth", "modules", "method"),
    [
        # Every method on one of each layout, and two of them on the others.
        pytest.param(*own, method, marks=[] if at in (3, 7) or method in METHODS[:2] else pytest.mark.slow)
        for at, own in enumerate(OWN)
        for method in METHODS
    ],
)
@pytest.mark.long
def test_a_network_in_a_file_is_measured_and_planned_to_the_byte(
    networks: Path, attribute: str, axes: dict[str, Any], depth: int, modules: int, method: str
) -> None:
    of = cell(f"{networks}:{attribute}", method=method, **axes)
    assert (of.depth, of.modules) == (depth, modules)
    step = build_step(of, *shape_of(of))
    assert len(step.network.local_modules) == modules
    images, labels = torch.randn(6, 1, 4, 4), torch.arange(6)
    measured = measure_memory(step, images, labels, ask_allocator=False)
    predicted = predict_memory(of, *shape_of(of))
    assert predicted.model_dump(exclude={"timeline"}) == measured.model_dump(exclude={"timeline"})


def test_a_report_names_the_layout_of_a_network_whose_file_is_gone(measuring_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "networks.py"
    file.write_text(NETWORKS, encoding="utf-8")
    names = f"network={file}:units,{file}:own_cascade"
    axes = ("dataset=random", "image_size=4", "batch_size=6", "modules=2", "method=bp", "passes=memory")
    options = [word for axis in (names, *axes) for word in ("--set", axis)]
    results = tmp_path / "results.jsonl"
    assert measuring_cli("run", "smoke", *options, "--out", results, "--quiet").exit_code == 0
    file.unlink()
    found = records_frame(read_records(results).records).set_index("network")["layout"].to_dict()
    assert found == {f"{file}:units": "pipeline", f"{file}:own_cascade": "cascade"}


def test_bp_plain_trains_units_through_their_last_head(networks: Path) -> None:
    of = cell(f"{networks}:of_shape", method="bp-plain", modules=3)
    step = build_step(of, *shape_of(of))
    step(torch.randn(6, 1, 4, 4), torch.arange(6))
    *others, last = step.network.local_modules
    assert all(parameter.grad is None for module in others for parameter in module.head.parameters())  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in last.parameters())


def test_weights_are_those_of_the_seed_and_the_same_for_every_method(networks: Path) -> None:
    def weights(**axes: Any) -> torch.Tensor:
        of = cell(f"{networks}:of_shape", **axes)
        network = build_network(of, *shape_of(of))
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(weights(method="bp"), weights(method="sid-streamed"))
    assert not torch.equal(weights(), weights(seed=1))


def test_a_list_of_modules_is_copied_so_that_no_step_trains_it(networks: Path) -> None:
    of = cell(f"{networks}:units")
    first, second = (build_network(of, *shape_of(of)) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one is not other


def test_choices_that_a_builder_does_not_take_do_not_make_another_cell(networks: Path) -> None:
    assert cell(f"{networks}:of_shape", width=9) == cell(f"{networks}:of_shape")
    assert cell(f"{networks}:whole", width=9, modules=2) == cell(f"{networks}:whole", modules=2)
    assert cell(f"{networks}:whole", cut="balanced", modules=2) != cell(f"{networks}:whole", modules=2)
    assert cell(f"{networks}:own_cascade", width=9, modules=2) != cell(f"{networks}:own_cascade", modules=2)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("missing", "has no attribute 'missing'; it has: Pipeline, cascade, needs_more"),
        ("number", "is of type int; legal: a bench.config.networks.Network, a builder"),
        ("needs_more", "needs the argument 'colour'; legal: shape, classes, modules, cut, hidden"),
        ("nothing", "gives a list of nothing; legal: a sid_core.BeliefNetwork, or a list"),
        ("single", r"gives a Linear; legal: .*, as of a function that returns \[net.stem, \*net.blocks\]"),
    ],
)
def test_what_is_no_network_is_refused_by_name(networks: Path, attribute: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell(f"{networks}:{attribute}")


def test_a_builder_that_calls_sys_exit_is_an_error(networks: Path) -> None:
    with pytest.raises(ConfigError, match=r"calls sys.exit\(0\); legal: a function that returns"):
        cell(f"{networks}:stops")


def test_a_builder_that_gives_other_modules_than_the_cell_says_is_refused(networks: Path) -> None:
    of = cell(f"{networks}:too_few", modules=2)
    with pytest.raises(ConfigError, match="has 1 modules for modules = 2; legal: as many as the cell says"):
        build_network(of, *shape_of(of))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/file.py:net", "there is no file"),
        ("no_such_module:net", "unknown network 'no_such_module:net'.*there is no module 'no_such_module'"),
        ("pipeline-resnet", "unknown network 'pipeline-resnet'; did you mean"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cell(name)


@pytest.mark.parametrize(
    "body", ["raise ValueError('broken')", "import sys; sys.exit(0)", "import no_such_module_here"]
)
def test_a_file_that_fails_is_an_error_with_its_reason(tmp_path: Path, body: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(body, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.py:net cannot be loaded: (ValueError|SystemExit|ModuleNotFound)"):
        cell(f"{path}:net")


def test_a_network_is_described_without_arithmetic(networks: Path) -> None:
    described = describe(load_network(f"{networks}:of_shape"), (3, 10**5, 10**5), 10)
    assert (described.layout, described.units) == ("pipeline", 3)


class Items:
    """A map-style data set."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.images[index], self.labels[index]


DATA = '''
"""Data sets."""

import numpy as np
import torch


def tensors():
    """Four tensors."""
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.rand(50, 3, 5, 5, generator=generator), torch.arange(50) % 4
    return images[:40], labels[:40], images[40:], labels[40:]


def grey_arrays(image_size=None):
    """Arrays without channels."""
    images, labels = np.random.default_rng(0).integers(0, 255, (50, 6, 6), dtype=np.uint8), np.arange(50) % 3
    return {"train": (images[:40], labels[:40]), "test": (images[40:], labels[40:])}


class Items:
    """A map-style data set."""

    classes = ["cat", "dog"]

    def __len__(self):
        return 30

    def __getitem__(self, index):
        from PIL import Image

        return Image.new("RGB", (7, 5), (index, 0, 0)), index % 2


items = Items()


def both():
    return Items(), Items()


def of_root(data_root):
    return torch.load(data_root / "some.pt")
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "own_data.py"
    path.write_text(DATA, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("attribute", "axes", "shape", "classes", "samples"),
    [
        ("tensors", {}, (3, 5, 5), 4, (36, 4, 10)),
        ("grey_arrays", {}, (1, 6, 6), 3, (36, 4, 10)),
        ("grey_arrays", {"image_size": 9}, (1, 9, 9), 3, (36, 4, 10)),
        ("items", {}, (3, 5, 7), 2, (22, 2, 6)),
        ("both", {}, (3, 5, 7), 2, (27, 3, 30)),
    ],
)
def test_a_data_set_in_a_file_is_loaded_split_and_planned(
    data: Path, attribute: str, axes: dict[str, Any], shape: tuple[int, ...], classes: int, samples: tuple[int, ...]
) -> None:
    of = make_cell({"dataset": f"{data}:{attribute}", "passes": ["memory"], **axes})
    splits = load_splits(of, None)
    assert (splits.shape, splits.classes) == (shape, classes)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == samples
    assert float(splits.train.images.mean().abs()) < 1e-5
    assert shape_of(of) == (shape, classes)


def test_a_shape_that_a_loader_does_not_take_is_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match="image_size = 9 cannot be chosen for dataset"):
        make_cell({"dataset": f"{data}:tensors", "passes": ["memory"], "image_size": 9})


def test_a_loader_that_fails_says_whose_it_is(data: Path, tmp_path: Path) -> None:
    of = make_cell({"dataset": f"{data}:of_root", "passes": ["memory"]})
    with pytest.raises(DataError, match=r"own_data\.py:of_root' cannot be loaded: FileNotFoundError"):
        load_splits(of, tmp_path)


def row(loader: Any) -> Any:
    from bench.config.datasets import Dataset

    return Dataset(name="mine", summary="", loader=loader)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.sampled_from([torch.float32, torch.uint8]))
def test_items_tensors_and_arrays_of_one_content_are_one_data_set(
    channels: int, height: int, width: int, dtype: torch.dtype
) -> None:
    images = (torch.rand(10, channels, height, width) * 255).to(dtype)
    labels = torch.arange(10) % 3

    def loaded(train: Any, test: Any) -> RawData:
        return load(row(lambda: (train, test)), {})

    expected = loaded((images, labels), (images[:4], labels[:4]))
    channels_last = images.permute(0, 2, 3, 1).numpy()
    for train, test in (
        ((images.numpy(), labels.numpy()), (images[:4].numpy(), labels[:4].numpy())),
        (Items(images, labels), Items(images[:4], labels[:4])),
        (Items(channels_last, labels), Items(channels_last[:4], labels[:4])),
    ):
        found = loaded(train, test)
        assert torch.equal(found.train_images, expected.train_images)
        assert torch.equal(found.test_labels, expected.test_labels)
        assert found.class_names == expected.class_names == ("0", "1", "2")


IMAGES, LABELS = torch.zeros(6, 1, 2, 2), torch.arange(6) % 2


@pytest.mark.parametrize(
    ("given_data", "message"),
    [
        (3, "gives a int; legal: .train, test."),
        ({"train": (IMAGES, LABELS)}, "without 'test'; legal: the keys train and test"),
        (((IMAGES, LABELS[:5]), (IMAGES, LABELS)), "train has 6 images and 5 labels; legal: one label per image"),
        (((IMAGES, LABELS.float()), (IMAGES, LABELS)), "labels of torch.float32; legal: integers from 0"),
        (((IMAGES, LABELS - 1), (IMAGES, LABELS)), "has the label -1; legal: integers from 0"),
        (((IMAGES, LABELS), (torch.zeros(6, 1, 3, 2), LABELS)), "legal: one shape"),
        (((IMAGES, LABELS), (IMAGES[:0], LABELS[:0])), "has 6 training and 0 test samples; legal: 1 or more"),
        (
            (Items([torch.zeros(1, 2, 2), torch.zeros(1, 3, 2)], [0, 1]), (IMAGES, LABELS)),
            r"item 1, has shape \[1, 3, 2\] where the first has \[1, 2, 2\]",
        ),
        ((Items(["a word"], [0]), (IMAGES, LABELS)), "item 0, cannot be read as .image, label."),
    ],
)
def test_data_that_are_not_legal_are_refused_with_their_place(given_data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(row(lambda: given_data), {})


def test_a_rule_in_a_file_is_a_method(tmp_path: Path) -> None:
    path = tmp_path / "rules.py"
    path.write_text(
        "def mine(network, images, labels, objective):\n"
        '    """My rule."""\n'
        "    loss = network(images).square().mean()\n"
        "    loss.backward()\n"
        "    return loss.detach()\n",
        encoding="utf-8",
    )
    of = make_cell({"method": f"{path}:mine", "dataset": "random", "image_size": 4, "passes": ["memory"]})
    step = build_step(of, *shape_of(of))
    assert isinstance(step.network, nn.Module)
    assert not isinstance(step.network, Pipeline)
    assert float(step(torch.randn(3, 1, 4, 4), torch.arange(3))) > 0
