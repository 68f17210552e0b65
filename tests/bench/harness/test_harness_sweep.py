"""The cells of a sweep: products of its grids, overrides, modules as a share of the depth."""

from itertools import pairwise
from pathlib import Path

import pytest
from harness_tools import TINY, write_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.config.alpha import alpha_by_module, alpha_text
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.label import label
from bench.config.sweep import load_sweep, parse_override, suite_names, value_text
from bench.errors import ConfigError

OVERRIDES: dict[str, tuple[str, list[object]]] = {
    "method": ("bp,sid-streamed", ["bp", "sid-streamed"]),
    "network": ("cascade-conv,cascade-linear", ["cascade-conv", "cascade-linear"]),
    "dataset": ("mnist,image-folder:pets", ["mnist", "image-folder:pets"]),
    "depth": ("6,8", [6, 8]),
    "modules": ("1,2", [1, 2]),
    "cut": ("even,balanced", ["even", "balanced"]),
    "width": ("5", [5]),
    "hidden": ("16,17", [16, 17]),
    "batch_size": ("3", [3]),
    "alpha": ("0.3:0.5,0.7,0.9..0.1", [(0.3, 0.5), 0.7, (0.9, 0.1)]),
    "precision": ("float32,bfloat16", ["float32", "bfloat16"]),
    "compile": ("true,false", [True, False]),
    "activation_memory_budget": ("0,0.5", [0.0, 0.5]),
    "direction": ("forward,reverse", ["forward", "reverse"]),
    "smoothing": ("0.2,0.01", [0.2, 0.01]),
    "loss_reduction": ("sum,mean", ["sum", "mean"]),
    "chunk": ("1,3", [1, 3]),
    "recompute": ("none,modules", ["none", "modules"]),
    "micro_batches": ("2,8", [2, 8]),
    "optimizer": ("sgd", ["sgd"]),
    "learning_rate": ("1e-4,2", [1e-4, 2.0]),
    "weight_decay": ("0.1", [0.1]),
    "schedule": ("cosine", ["cosine"]),
    "epochs": ("3", [3]),
    "train_samples": ("100", [100]),
    "noise_kind": ("pairflip", ["pairflip"]),
    "noise_rate": ("0,0.4", [0.0, 0.4]),
    "noise_source": ("people.csv:worst", ["people.csv:worst"]),
    "head": ("linear,mlp", ["linear", "mlp"]),
    "latency_seconds": ("0.5,3", [0.5, 3.0]),
    "seed": ("0,5", [0, 5]),
    "device": ("cuda:1", ["cuda:1"]),
    "threads": ("1,4", [1, 4]),
    "allocator": ("system,jemalloc", ["system", "jemalloc"]),
    "processes": ("1,3", [1, 3]),
    "ranks": ("1,2", [1, 2]),
    "passes": ("latency,memory", [("memory", "latency")]),
    "image_size": ("9", [9]),
    "channels": ("3", [3]),
    "classes": ("7", [7]),
}


@pytest.mark.parametrize("axis", Cell.model_fields)
def test_set_replaces_any_axis(tmp_path: Path, axis: str) -> None:
    text, expected = OVERRIDES[axis]
    base: dict[str, object] = {"method": "sid-streamed", "dataset": "digits"}
    if axis == "cut":
        base |= {"network": "pipeline-conv", "depth": 5, "modules": 2}
    if axis in ("processes", "compile", "ranks"):
        base["passes"] = "latency"
    if axis == "ranks":
        base["method"] = "sid-parallel"
    if axis in ("chunk", "micro_batches"):
        base |= {"method": "sid-vectorised" if axis == "chunk" else "bp-microbatch", "depth": 4}
    if axis == "activation_memory_budget":
        base["method"] = "bp-budget"
    if axis == "smoothing":
        base["direction"] = "reverse"
    if axis in ("image_size", "channels", "classes"):
        base["dataset"] = "random"
    if axis == "noise_kind":
        base["noise_rate"] = 0.4
    if axis == "noise_source":
        base["noise_kind"] = "human"
    if axis == "head":
        base |= {"network": "pipeline-conv", "depth": 5}
    sweep = write_sweep(tmp_path / "sweep.toml", base)
    for spelling in (axis, axis.replace("_", "-")):
        cells = load_sweep(str(sweep), [f"{spelling}={text}"]).cells
        assert [getattr(cell, axis) for cell in cells] == expected


def test_set_replaces_the_axis_in_every_grid(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", {"depth": [2, 4]}, {"depth": 8, "seed": 1})
    cells = load_sweep(str(sweep), ["depth=6"]).cells
    assert [(cell.depth, cell.modules, cell.seed) for cell in cells] == [(6, 6, 0), (6, 6, 1)]


def test_modules_as_a_share_of_the_depth_take_one_alpha_per_module(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", method="bp")
    cells = load_sweep(str(sweep), ["method=sid-streamed", "depth=4", "modules=depth/2", "alpha=0.3:0.5"]).cells
    assert [(cell.modules, cell.alpha) for cell in cells] == [(2, (0.3, 0.5))]


def test_a_cell_that_two_grids_name_is_run_once(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", {"seed": [0, 1]}, {"seed": [1, 0, 2]})
    assert [cell.seed for cell in load_sweep(str(sweep)).cells] == [0, 1, 2]


def test_depths_that_are_not_divisible_are_left_out(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", depth=[2, 4, 8], modules=["depth", "depth/4", 1])
    cells = load_sweep(str(sweep)).cells
    assert [(cell.depth, cell.modules) for cell in cells] == [(2, 2), (2, 1), (4, 4), (4, 1), (8, 8), (8, 2), (8, 1)]


@pytest.mark.parametrize(
    ("schedule", "numbers"),
    [
        ("0.9..0.1", (0.9, 0.7, 0.5, 0.3, 0.1)),
        ("0.1..0.9", (0.1, 0.3, 0.5, 0.7, 0.9)),
        (" 1 .. .2 ", (1.0, 0.8, 0.6, 0.4, 0.2)),
        ("1e-3..1", (0.001, 0.25075, 0.5005, 0.75025, 1.0)),
        ("0.5..0.5", 0.5),
    ],
)
def test_alpha_over_depth_becomes_one_number_per_module(tmp_path: Path, schedule: str, numbers: object) -> None:
    base = {"method": "sid-streamed", "depth": 5}
    written = write_sweep(tmp_path / "written.toml", base | {"alpha": [schedule]})
    (cell,) = load_sweep(str(written)).cells
    assert cell.alpha == numbers
    assert cell.id == make_cell(TINY | base | {"alpha": numbers}).id
    plain = write_sweep(tmp_path / "plain.toml", base)
    assert load_sweep(str(plain), [f"alpha={schedule}"]).cells == (cell,)


def test_alpha_over_depth_follows_the_number_of_modules(tmp_path: Path) -> None:
    sweep = write_sweep(
        tmp_path / "sweep.toml", method=["bp", "sid-streamed"], depth=[2, 3], modules="depth", alpha="0.5..1"
    )
    alphas = {(cell.method, cell.depth): cell.alpha for cell in load_sweep(str(sweep)).cells}
    expected = {
        ("bp", 2): None,
        ("bp", 3): None,
        ("sid-streamed", 2): (0.5, 1.0),
        ("sid-streamed", 3): (0.5, 0.75, 1.0),
    }
    assert alphas == expected


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=2), st.integers(2, 40))
def test_alpha_over_depth_is_linear_and_written_by_its_ends(ends: list[float], modules: int) -> None:
    schedule = f"{ends[0]:.3f}..{ends[1]:.3f}"
    numbers = alpha_by_module(schedule, modules)
    assert numbers[0] == float(f"{ends[0]:.3f}")
    assert numbers[-1] == pytest.approx(float(f"{ends[1]:.3f}"), abs=1e-12)
    steps = [after - before for before, after in pairwise(numbers)]
    assert steps == pytest.approx([(numbers[-1] - numbers[0]) / (modules - 1)] * len(steps), abs=1e-11)
    assert alpha_by_module(alpha_text(numbers), modules) == numbers


def test_alphas_that_are_not_linear_are_written_one_by_one() -> None:
    assert alpha_text((0.5, 0.1, 0.9)) == "0.5:0.1:0.9"
    assert alpha_text(0.25) == "0.25"


@pytest.mark.parametrize("suite", suite_names())
def test_the_cells_of_a_suite_have_different_lines(suite: str) -> None:
    cells = load_sweep(suite).cells
    assert len({label(cell) for cell in cells}) == len(cells)


@pytest.fixture
def two_grids(tmp_path: Path) -> str:
    """Eight cells on each of two networks, and one cell of another method that needs batches of 8."""
    cells = {"network": ["cascade-linear", "cascade-conv"], "depth": 4, "modules": [1, 2]}
    methods = {"method": "sid-streamed", "alpha": [0.25, 0.5], "seed": [0, 1]}
    micro_batches = {"network": "cascade-linear", "depth": 4, "method": "bp-microbatch", "micro_batches": 8}
    return str(write_sweep(tmp_path / "sweep.toml", cells | methods, micro_batches))


def test_only_keeps_the_cells_that_have_one_of_the_values(two_grids: str) -> None:
    everything = load_sweep(two_grids).cells
    assert len(everything) == 17
    kept = load_sweep(two_grids, only=["network=cascade-conv", "alpha=0.25,0.5", "modules=2"]).cells
    assert kept == tuple(cell for cell in everything if cell.network == "cascade-conv" and cell.modules == 2)
    assert len(kept) == 4


def test_an_override_need_only_be_legal_for_the_cells_that_are_kept(two_grids: str) -> None:
    narrowed = load_sweep(two_grids, ["batch_size=4"], ["method=sid-streamed", "alpha=0.5"]).cells
    assert {(cell.method, cell.batch_size, cell.alpha) for cell in narrowed} == {("sid-streamed", 4, 0.5)}
    with pytest.raises(ConfigError, match="micro_batches = 8 for batch_size = 4"):
        load_sweep(two_grids, ["batch_size=4"])


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (
            "network=cascade-con",
            "--only network=cascade-con: no cell of the sweep has it.*; legal: cascade-conv, cascade-linear",
        ),
        ("modules=1,3", "--only modules=3: no cell of the sweep has it.*; legal: 1, 2, 4"),
        ("module=2", "module"),
        ("modules", "--only 'modules' is not AXIS=VALUE"),
    ],
)
def test_only_refuses_values_that_no_cell_has(two_grids: str, only: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_sweep(two_grids, only=[only])


def test_none_names_an_axis_that_is_unset(two_grids: str) -> None:
    assert {cell.micro_batches for cell in load_sweep(two_grids, only=["micro_batches=None"]).cells} == {None}
    assert {cell.method for cell in load_sweep(two_grids, only=["alpha=None"]).cells} == {"bp"}
    both = load_sweep(two_grids, only=["micro_batches=None,8"]).cells
    assert len(both) == 17
    unset = load_sweep(two_grids, ["threads=None,2"]).cells
    assert {cell.threads for cell in unset} == {None, 2}


def test_values_that_read_as_unset_elsewhere_are_kept_until_the_cells_are_made(tmp_path: Path) -> None:
    cells = {"method": ["bp", "sid-streamed"], "alpha": [0.3, 0.5], "depth": 4, "modules": 2}
    kept = load_sweep(str(write_sweep(tmp_path / "sweep.toml", cells)), only=["alpha=None"]).cells
    assert [cell.method for cell in kept] == ["bp"]


def test_a_refusal_names_values_as_options_take_them(tmp_path: Path) -> None:
    cells = {
        "method": ["bp", "sid-streamed"],
        "alpha": [[0.3, 0.7]],
        "depth": 4,
        "modules": 2,
        "compile": [True, False],
    }
    sweep = str(write_sweep(tmp_path / "sweep.toml", cells))
    for axis, legal in (("alpha", "0.3:0.7"), ("compile", "false, true"), ("threads", "None")):
        with pytest.raises(ConfigError, match=f"legal: {legal}$"):
            load_sweep(sweep, only=[f"{axis}=0.123"])
        for value in legal.split(", "):
            assert load_sweep(sweep, only=[f"{axis}={value}"]).cells


@pytest.mark.parametrize(
    ("axis", "value"),
    [("alpha", (0.3, 0.7)), ("alpha", 1e-7), ("compile", True), ("threads", None), ("passes", ("memory", "latency"))],
)
def test_the_text_of_a_value_is_read_as_that_value(axis: str, value: object) -> None:
    read = parse_override(f"{axis}={value_text(value)}")[1][0]
    assert (tuple(read) if isinstance(read, list) else read) == value


def test_without_a_suite_every_method_that_takes_the_axes_has_a_cell() -> None:
    sweep = load_sweep(None, ["network=pipeline-conv", "image_size=16", "depth=64"])
    assert {cell.dataset for cell in sweep.cells} == {"random"}
    assert {cell.depth for cell in sweep.cells} == {5}
    ways = {(cell.method, cell.recompute, cell.micro_batches) for cell in sweep.cells}
    assert {("bp", "none", None), ("bp", "modules", None), ("bp", "none", 4), ("sid-streamed", "none", None)} <= ways
    left_out = dict(sweep.left_out)
    assert "a pipeline; legal: cascade" in left_out["sid-vectorised"]
    assert "legal: 2 or more" in left_out["bp-1f1b"]
    assert not {cell.method for cell in sweep.cells} & left_out.keys()


def test_without_a_suite_what_no_method_takes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="image_size = 3 for network pipeline-conv; legal: 4 or more"):
        load_sweep(None, ["network=pipeline-conv", "image_size=3"])


def test_an_alias_keeps_the_cells_that_it_stands_for() -> None:
    cells = load_sweep("memory", [], ["method=bp-checkpoint", "depth=4"]).cells
    assert cells
    assert {(cell.method, cell.recompute) for cell in cells} == {("bp", "modules")}
