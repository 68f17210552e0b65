"""A package of its own adds an axis, methods, a head, a network and a data set; all are run, planned and reported."""

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


class Classifier(nn.Module):
    """One linear layer on four maps of two by two pixels."""

    takes_positions = True

    def __init__(self, width, classes):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, belief, features):
        return self.linear(self.pool(features).flatten(1)) + belief


def quarters(features, classes):
    """A classifier of four quarters of the image."""
    return Classifier(features[0], classes)


def decoder(network, shape):
    """A linear decoder from the network's logits to the image."""
    channels, height, width = shape
    return nn.Linear(network.classes, channels * height * width)


def reconstruct(network, images, labels, objective, auxiliary, pixels, indices):
    logits = network(images)
    decoded = auxiliary(logits).sigmoid()
    loss = F.cross_entropy(logits, labels) + F.binary_cross_entropy(decoded, pixels.flatten(1)) + 0 * indices.sum()
    loss.backward()
    return loss.detach()


def shrink(network, auxiliary, pixels=None):
    with torch.no_grad():
        for parameter in auxiliary.parameters():
            parameter.mul_(0.999)


reconstructing = Method(
    name="reconstructing", summary="BP with a decoder", rule=reconstruct, auxiliary=decoder, after_step=shrink,
    uses_pixels=True, uses_indices=True, presets={"head": "quarters"}, colour="#117733",
)


def units(shape):
    channels, height, width = shape
    return [nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()), nn.Conv2d(4, 6, 3), nn.ReLU()]


three_units = Network(
    name="three-units", summary="three units", layout="pipeline", builder=units, units=3,
    reads=frozenset({"cut", "hidden", "head"}), has_heads=True,
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
reconstructing = one_of_each:reconstructing
[sid_bench.heads]
quarters = one_of_each:quarters
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


@pytest.mark.long
def test_each_is_listed_with_where_it_comes_from(package: Path, tmp_path: Path) -> None:
    listed = sid_bench(package, tmp_path, "list")
    for name, summary in (
        ("temperature", "a number above 0: what logits are divided by [another package]"),
        ("cooled", "BP at a temperature [one-of-each]"),
        ("reconstructing", "BP with a decoder [one-of-each]"),
        ("quarters", "A classifier of four quarters of the image. [one-of-each]"),
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


@pytest.mark.long
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


@pytest.mark.long
def test_each_is_reported(package: Path, results: Path, tmp_path: Path) -> None:
    sid_bench(package, tmp_path, "report", results, "--out", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in ("cooled temperature 2", "three-units", "bright"):
        assert text in page


@pytest.mark.long
def test_a_method_with_every_hook_and_a_head_of_its_own_is_run_and_planned(package: Path, tmp_path: Path) -> None:
    chosen = ["--set", "method=reconstructing,bp", "--set", "latency_seconds=0.05"]
    passes = ["--set", "passes=memory,latency,accuracy,inference"]
    sid_bench(package, tmp_path, "run", *CELL, *chosen, *passes, "--out", "own.jsonl")
    records = {record.cell.method: record for record in read_records(tmp_path / "own.jsonl").records}
    own, bare = records["reconstructing"], records["bp"]
    assert (own.status, bare.status) == ("ok", "ok")
    assert (own.cell.head, bare.cell.head) == ("quarters", "linear")
    backbone, heads, beside = 40 + 222, (16 * 2 + 2) + (24 * 2 + 2), 2 * 36 + 36
    assert own.parameters == backbone + heads + beside
    assert own.memory is not None
    assert own.memory.parameter_bytes == 4 * own.parameters
    assert own.latency is not None
    assert own.inference is not None
    sid_bench(package, tmp_path, "plan", *CELL, *chosen, "--out", "plan.csv")
    names, *rows = [line.split(",") for line in (tmp_path / "plan.csv").read_text().splitlines()]
    planned = {row[names.index("method")]: int(row[names.index("peak_total_bytes")]) for row in rows}
    assert planned["reconstructing"] == own.memory.peak_total_bytes
    sid_bench(package, tmp_path, "report", "own.jsonl", "--out", "page.html")
    assert "reconstructing head quarters" in (tmp_path / "page.html").read_text(encoding="utf-8")
