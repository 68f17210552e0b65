"""Equal cells have the same id in every process, and a cell that runs twice has the same memory and accuracy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cells import methods_taking
from command_line import RunCli
from harness_tools import TINY, FinishedRun, bench_environment, sound_records
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.config.cell import PASSES, Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.sweep import suite_names

METHODS = methods_taking(make_cell({}))  # that take a cascade
WITH_ALPHA = [name for name in METHODS if load_method(name).uses_alpha]
WITHOUT_ALPHA = [name for name in METHODS if not load_method(name).uses_alpha]
NOISE_KINDS = ["symmetric-exclusive", "symmetric-inclusive", "pairflip", "asymmetric"]


@st.composite
def cell_values(draw: st.DrawFn) -> dict[str, Any]:
    """Draws legal fields of a cell, each from few values, so that two draws are often equal."""
    modules = draw(st.sampled_from([1, 2]))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "network": st.sampled_from(["cascade-linear", "cascade-conv"]),
        "dataset": st.sampled_from(["digits", "mnist"]),
        "alpha": st.sampled_from([0.5, 1, 1.0, [0.5] * modules, [0.25, 1][:modules]]),
        "direction": st.sampled_from(["forward", "reverse"]),
        "smoothing": st.sampled_from([None, 0.1, 0.2]),
        "loss_reduction": st.sampled_from(["sum", "mean"]),
        "optimizer": st.sampled_from(["adam", "sgd"]),
        "learning_rate": st.sampled_from([None, 1e-3, 0.05, 1, 1.0]),
        "weight_decay": st.sampled_from([None, 0, 0.0, 5e-4]),
        "schedule": st.sampled_from([None, "constant", "cosine"]),
        "noise_rate": st.sampled_from([0, 0.0, 0.4]),
        "noise_kind": st.sampled_from(NOISE_KINDS),
        "seed": st.sampled_from([0, 1]),
        "passes": st.lists(st.sampled_from(PASSES), min_size=1, max_size=3),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=optional))
    method = draw(st.sampled_from(METHODS))
    has_one_alpha = method in ("bp-bootstrap", "bp-label-smoothing")
    if has_one_alpha and isinstance(chosen.get("alpha"), list):
        del chosen["alpha"]
    return {"method": method, "depth": 2, "modules": modules, **chosen}


@given(cell_values(), cell_values())
@settings(max_examples=300, deadline=None)
@pytest.mark.long
def test_two_cells_are_equal_exactly_if_their_ids_are(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = make_cell(first), make_cell(second)
    assert (one == other) == (one.id == other.id)
    assert one != other or hash(one) == hash(other)


@given(cell_values(), st.data())
@settings(max_examples=200, deadline=None)
def test_changing_a_field_changes_the_id(values: dict[str, Any], data: st.DataObject) -> None:
    changes = {
        "network": ["cascade-linear", "cascade-conv"],
        "depth": [2, 4],
        "width": [8, 9],
        "hidden": [8, 9],
        "batch_size": [8, 9],
        "epochs": [1, 2],
        "train_samples": [None, 100],
        "latency_seconds": [0.5, 1.5],
        "seed": [0, 2**63 - 1],
        "device": ["cpu", "cuda", "cuda:0"],
    }
    axis = data.draw(st.sampled_from(sorted(changes)), "axis")
    ids = {make_cell(values | {axis: value}).id for value in changes[axis]}
    assert len(ids) == len(changes[axis])


@given(cell_values())
@settings(max_examples=100, deadline=None)
def test_the_objective_is_part_of_a_cell_only_for_methods_that_use_it(values: dict[str, Any]) -> None:
    cell = make_cell(values)
    usual = {"direction": "forward", "smoothing": None, "loss_reduction": "sum"}
    if not load_method(cell.method).objective:
        assert {name: getattr(cell, name) for name in usual} == usual
    assert (cell.smoothing is None) == (cell.direction == "forward")
    stored = cell.model_dump(mode="json")
    if {name: stored[name] for name in usual} == usual:  # a stored cell from before these axes
        before = {name: value for name, value in stored.items() if name not in usual}
        old = Cell.model_validate(before)
        assert (old, old.id) == (cell, cell.id)


@given(cell_values())
@settings(max_examples=100, deadline=None)
def test_a_cell_survives_json_with_its_id(values: dict[str, Any]) -> None:
    cell = make_cell(values)
    text = json.dumps(cell.model_dump(mode="json"))
    for copy in (Cell.model_validate(json.loads(text)), make_cell(json.loads(text))):
        assert copy == cell
        assert copy.id == cell.id


@given(cell_values())
@settings(max_examples=100, deadline=None)
def test_the_order_of_fields_and_of_passes_does_not_matter(values: dict[str, Any]) -> None:
    turned = dict(reversed(values.items()))
    if "passes" in turned:
        turned["passes"] = [*reversed(turned["passes"]), turned["passes"][0]]
    assert make_cell(turned) == make_cell(values)


@given(cell_values(), st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
@settings(max_examples=100, deadline=None)
def test_alpha_is_part_of_a_cell_only_for_methods_that_use_it(values: dict[str, Any], one: float, other: float) -> None:
    assume(one != other)
    first, second = (make_cell(values | {"alpha": alpha}) for alpha in (one, other))
    if values["method"] in WITH_ALPHA:
        assert (first.alpha, second.alpha) == (one, other)
        assert first.id != second.id
    else:
        assert first.alpha is second.alpha is None
        assert first == second
        assert first.id == second.id


def test_there_are_methods_with_and_without_alpha() -> None:
    assert "sid-streamed" in WITH_ALPHA
    assert "bp" in WITHOUT_ALPHA


@given(cell_values())
@settings(max_examples=100, deadline=None)
def test_at_rate_0_all_kinds_of_noise_are_none(values: dict[str, Any]) -> None:
    cells = {make_cell(values | {"noise_rate": 0, "noise_kind": kind}) for kind in ["none", *NOISE_KINDS]}
    assert {cell.noise_kind for cell in cells} == {"none"}
    assert len({cell.id for cell in cells}) == 1
    noisy = {make_cell(values | {"noise_rate": 0.4, "noise_kind": kind}).id for kind in NOISE_KINDS}
    assert len(noisy) == len(NOISE_KINDS)


@pytest.mark.parametrize("axis", ["noise_rate", "weight_decay"])
def test_minus_zero_is_zero(axis: str) -> None:
    assert make_cell({axis: -0.0}).id == make_cell({axis: 0.0}).id


def test_naming_the_presets_of_an_optimizer_does_not_change_the_cell() -> None:
    for preset in (
        {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0, "schedule": "constant"},
        {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4, "schedule": "cosine"},
    ):
        assert make_cell(preset).id == make_cell({"optimizer": preset["optimizer"]}).id


def test_modules_left_out_are_the_depth() -> None:
    assert make_cell({"depth": 6}) == make_cell({"depth": 6, "modules": 6})


@pytest.mark.long
def test_ids_do_not_depend_on_the_process_or_its_hash_seed() -> None:
    code = (
        "from bench.config.label import label\n"
        "from bench.config.sweep import load_sweep\n"
        f"for name in {suite_names()!r}:\n"
        "    for cell in load_sweep(name).cells: print(cell.id, label(cell))\n"
    )

    def printed(seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            env=bench_environment(PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first = printed("1")
    assert first.count("\n") > 100
    assert printed("4242") == first


def test_the_id_of_a_cell_is_that_of_stored_results() -> None:
    """A change of this id makes all stored results unreadable."""
    assert make_cell(TINY | {"method": "bp"}).id == "bd484f9325ea3c71"


@pytest.mark.long
def test_a_cell_that_is_run_twice_gives_the_same_memory_and_accuracy(
    finished_run: FinishedRun, measuring_cli: RunCli, tmp_path: Path
) -> None:
    results = tmp_path / "again.jsonl"
    ended = measuring_cli("run", finished_run.sweep, "--out", results)
    assert ended.exit_code == 0, ended.stderr
    for first, second in zip(sound_records(finished_run.results), sound_records(results), strict=True):
        assert (first.id, first.cell) == (second.id, second.cell)
        assert (first.data, first.parameters) == (second.data, second.parameters)
        assert first.memory is not None
        assert second.memory is not None
        assert first.memory.peak_activation_bytes > 0
        assert first.memory.model_dump() == second.memory.model_dump()
        assert first.accuracy is not None
        assert second.accuracy is not None
        assert len(first.accuracy.epochs) == 1
        assert first.accuracy.model_dump() == second.accuracy.model_dump()


@pytest.mark.long
def test_all_methods_and_seeds_see_the_same_raw_data(
    finished_run: FinishedRun, measuring_cli: RunCli, tmp_path: Path
) -> None:
    results = tmp_path / "seed.jsonl"
    ended = measuring_cli(
        *(
            "run",
            finished_run.sweep,
            "--out",
            results,
            "--set",
            "seed=7",
            "--set",
            "passes=memory",
            "--set",
            "method=bp",
        )
    )
    assert ended.exit_code == 0, ended.stderr
    records = [*sound_records(finished_run.results), *sound_records(results)]
    assert len({record.data.fingerprint for record in records if record.data}) == 1
    assert len(records) == 3
