"""A package of its own adds an axis, a method, a network and a data set; each is listed, run, planned and reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store.file import read_records

SOURCE = '''
"""One of each kind."""

import torch
import torch.nn.functional as F
from torch import nn

from bench.config.axis import Axis
from bench.config.datasets import Dataset
from bench.config.methods import Method
from bench.config.networks import Network

temperature = Axis(
    type=float, default=1.0, description="a number above 0: what logits are divided by", paired=False, setting=True,
    series="unless default",
)


def train(network, images, labels, objective, temperature):
    loss = F.cross_entropy(network(images) / temperature, labels)
    loss.backward()
    return loss.detach()


cooled = Method(
    name="cooled", summary="BP at a temperature", rule=train,
    settings={"temperature": lambda value, cell: 1.0 if value is None else value}, colour="#aa3377",
)


def units(shape):
    channels, height, width = shape
    return [nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()), nn.Conv2d(4, 6, 3), nn.ReLU()]


three_units = Network(
    name="three-units", summary="three units", layout="pipeline", builder=units, units=3,
    reads=frozenset({"cut", "hidden"}),
)


def load(seed):
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(40, 1, 6, 6, generator=generator)
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    return (images[:30], labels[:30]), (images[30:], labels[30:])


bright = Dataset(name="bright", summary="bright images or dark", loader=load, shape=(1, 6, 6), classes=2)
'''
ENTRY_POINTS = """
[sid_bench.axes]
temperature = one_of_each:temperature
[sid_bench.methods]
cooled = one_of_each:cooled
[sid_bench.networks]
three-units = one_of_each:three_units
[sid_bench.datasets]
bright = one_of_each:bright
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "one_of_each.py").write_text(SOURCE, encoding="utf-8")
    information = folder / "one_of_each-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: one-of-each\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return folder


def sid_bench(package: Path, folder: Path, *arguments: object) -> str:
    """What the command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


CELL = [
    *("--set", "network=three-units", "--set", "dataset=bright", "--set", "modules=2", "--set", "batch_size=4"),
    *("--set", "hidden=8", "--set", "epochs=2"),
]


def test_each_is_listed_with_where_it_comes_from(package: Path, tmp_path: Path) -> None:
    listed = sid_bench(package, tmp_path, "list")
    for name, summary in (
        ("temperature", "a number above 0: what logits are divided by [another package]"),
        ("cooled", "BP at a temperature [one-of-each]"),
        ("three-units", "three units [one-of-each]"),
        ("bright", "bright images or dark [one-of-each]"),
    ):
        (line,) = (line for line in listed.splitlines() if line.split()[:1] == [name])
        assert line.split(maxsplit=1)[1].strip() == summary


@pytest.fixture(scope="module")
def results(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of BP and of the package's method, at two values of its axis."""
    folder = tmp_path_factory.mktemp("run")
    chosen = ["--set", "method=bp,cooled", "--set", "temperature=1.0,2.0"]
    sid_bench(package, folder, "run", *CELL, *chosen, "--set", "passes=memory,accuracy", "--out", "own.jsonl")
    return folder / "own.jsonl"


def test_each_is_measured(results: Path) -> None:
    records = read_records(results).records
    assert [record.status for record in records] == ["ok"] * 3
    found = [(record.cell.method, getattr(record.cell, "temperature", None)) for record in records]
    assert found == [("bp", None), ("cooled", None), ("cooled", 2.0)]
    assert {(record.cell.network, record.cell.depth, record.cell.modules) for record in records} == {
        ("three-units", 3, 2)
    }
    losses = [record.accuracy.epochs[0].train_loss for record in records if record.accuracy is not None]
    assert losses[0] == losses[1], "at temperature 1 the method is BP"
    assert losses[1] != losses[2]
    assert all(record.data is not None and record.data.shape == (1, 6, 6) for record in records)


def test_records_are_read_where_the_package_is_missing(results: Path) -> None:
    """This process does not have the package: the axis stays in the cell, and so in its id."""
    (with_axis, *_) = (record for record in read_records(results).records if "temperature" in record.cell.model_dump())
    assert with_axis.id == with_axis.cell.id


def test_each_is_planned_to_the_byte(package: Path, results: Path, tmp_path: Path) -> None:
    chosen = ["--set", "method=bp,cooled", "--set", "temperature=1.0,2.0"]
    sid_bench(package, tmp_path, "plan", *CELL, *chosen, "--out", "plan.csv")
    names, *rows = [line.split(",") for line in (tmp_path / "plan.csv").read_text().splitlines()]
    assert "temperature" in names
    planned = sorted(int(row[names.index("peak_activation_bytes")]) for row in rows)
    measured = sorted(
        record.memory.peak_activation_bytes for record in read_records(results).records if record.memory is not None
    )
    assert planned == measured
    budget = sid_bench(package, tmp_path, "plan", *CELL, *chosen, "--budget", "200kB")
    assert "cooled" in budget


def test_each_is_reported(package: Path, results: Path, tmp_path: Path) -> None:
    sid_bench(package, tmp_path, "report", results, "--out", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in ("cooled temperature 2", "three-units", "bright"):
        assert text in page
