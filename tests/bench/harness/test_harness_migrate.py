"""Old results files: records of earlier versions can be read, reported and appended to."""

import copy
import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from harness_tools import sound_records, write_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StoreError
from bench.report import write_report
from bench.store.file import read_records
from bench.store.migrate import migrate
from bench.store.record import SCHEMA

# Written by a version with schema 1: costs on both networks, accuracies with and without a schedule, with noise.
OLD_FILE = Path(__file__).with_name("schema_1.jsonl")
OLD: list[dict[str, Any]] = [json.loads(line) for line in OLD_FILE.read_text(encoding="utf-8").splitlines()]

Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The paths of all keys in a record, except those inside its environment, which are not required."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*place, key)
            if key != "environment":
                yield from places(part, (*place, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*place, index))


PLACES = [(number, place) for number, old in enumerate(OLD) for place in places(old)]


def holder_of(content: Any, place: Place) -> Any:
    """The dictionary with the last key of ``place``."""
    for key in place[:-1]:
        content = content[key]
    return content


def test_the_old_file_is_of_schema_1_and_varied() -> None:
    assert [old["schema"] for old in OLD] == [1] * 6
    assert {old["cell"]["network"] for old in OLD} == {"cascade-linear", "cascade-conv"}
    assert sum(old["memory"] is not None and old["latency"] is not None for old in OLD) == 4
    assert sum(old["accuracy"] is not None for old in OLD) == 2
    assert any(old["cell"]["noise_rate"] > 0 for old in OLD)


# Bytes were exact before compiled steps had any, and nobody measured how long a step takes to compile.
ADDED_TO_MEMORY = {"instrument": "exact", "bp_peak_activation_bytes": None, "bp_peak_total_bytes": None}
ADDED_TO_LATENCY = {"processes": None, "compile_seconds": None, "locked_shares": None}
ADDED_TO_DATA = {"noise_fingerprint": None}


def test_old_records_are_read_and_keep_their_ids() -> None:
    records = sound_records(OLD_FILE)
    assert [record.id for record in records] == [old["id"] for old in OLD]
    for record, old in zip(records, OLD, strict=True):
        assert record.id == record.cell.id
        assert record.schema_version == SCHEMA
        assert (record.status, record.message, record.attempts) == ("ok", None, 1)
        for name in ("created", "suite", "parameters", "environment"):
            assert getattr(record, name) == old[name]


def test_migration_keeps_measured_values_computes_derived_ones_and_leaves_the_rest_none() -> None:
    for record, old in zip(read_records(OLD_FILE).records, OLD, strict=True):
        now = json.loads(record.line())
        if old["accuracy"]:
            check_accuracy(now["accuracy"], old["accuracy"], old["cell"]["noise_rate"])
        if old["memory"]:
            kept = {name: value for name, value in old["memory"].items() if "allocator" not in name}
            assert now["memory"] == kept | {"at_peak": None, "timeline": None, "allocator": None} | ADDED_TO_MEMORY
        if record.latency:
            assert now["latency"].items() >= old["latency"].items()
            own = [seconds for first, _, _, last in record.latency.blocks_seconds for seconds in (first, last)]
            assert record.latency.samples_per_second == record.cell.batch_size / record.latency.median_seconds
            assert record.latency.samples_per_second == pytest.approx(record.cell.batch_size / statistics.median(own))
            assert record.latency.blocks_by_process == [len(record.latency.blocks_seconds)]
            assert record.latency.noisy_because is None
            assert record.latency.shares is None
        assert record.trace is None
        assert record.ranks is None
        assert record.layout is None


def check_accuracy(now: dict[str, Any], old: dict[str, Any], noise_rate: float) -> None:
    """Checks an accuracy of schemas 1 to 3: what clean labels gave is called so, and nothing is made up."""
    clean_epochs = [epoch["validation"] for epoch in old["epochs"]]
    assert [epoch["validation_clean"] for epoch in now["epochs"]] == clean_epochs
    assert now["test_at_best_clean_validation"] == old["test_at_best_validation"]
    assert now["validation_clean_last"] == old["validation_last"]
    noisy = (now["test_at_best_validation"], now["validation_last"], now["realised_validation_noise_rate"])
    noisy_epochs = [epoch["validation"] for epoch in now["epochs"]]
    if noise_rate:
        assert noisy == (None, None, None)
        assert noisy_epochs == [None] * len(clean_epochs)
    else:  # the labels that training labels are like are clean ones
        assert noisy == (old["test_at_best_validation"], old["validation_last"], 0.0)
        assert noisy_epochs == clean_epochs
    assert now["correct_last"] is now["correct_at_best_validation"] is None
    changed = {"test_at_best_validation", "validation_last", "epochs"}
    assert now.items() >= {name: value for name, value in old.items() if name not in changed}.items()
    for epoch, before in zip(now["epochs"], old["epochs"], strict=True):
        assert epoch == before | {"validation": epoch["validation"], "validation_clean": before["validation"]}


def test_a_record_of_schema_2_is_unchanged_and_has_no_ranks() -> None:
    path = Path(__file__).with_name("schema_2.jsonl")
    old = json.loads(path.read_text(encoding="utf-8"))
    assert old["schema"] == 2
    (record,) = sound_records(path)
    cell = record.cell.model_dump(mode="json")
    assert cell.items() >= old["cell"].items()
    added = {"schema": SCHEMA, "cell": cell, "trace": None, "ranks": None, "layout": None, "inference": None}
    added["latency"] = old["latency"] | ADDED_TO_LATENCY
    added["memory"] = old["memory"] | ADDED_TO_MEMORY
    added["data"] = old["data"] | ADDED_TO_DATA
    assert json.loads(record.line()) == old | added


def test_records_of_schema_3_keep_what_clean_validation_labels_gave() -> None:
    path = Path(__file__).with_name("schema_3.jsonl")
    olds = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [old["schema"] for old in olds] == [3] * 3
    assert [old["cell"]["noise_rate"] for old in olds if old["accuracy"]] == [0.0, 0.4]
    for record, old in zip(sound_records(path), olds, strict=True):
        now = json.loads(record.line())
        if old["accuracy"]:
            check_accuracy(now["accuracy"], old["accuracy"], old["cell"]["noise_rate"])
        assert now["latency"] == (old["latency"] and old["latency"] | ADDED_TO_LATENCY)
        assert now["memory"] == (old["memory"] and old["memory"] | ADDED_TO_MEMORY)
        assert now["data"] == (old["data"] and old["data"] | ADDED_TO_DATA)
        assert now == old | {
            name: now[name]
            for name in ("schema", "cell", "data", "memory", "accuracy", "latency", "layout", "inference")
        }
        assert (now["schema"], now["layout"], now["inference"]) == (SCHEMA, None, None)
        assert now["cell"].items() >= old["cell"].items()


@pytest.mark.parametrize(
    ("axes", "is_clean"),
    [
        ({"noise_kind": "none", "noise_rate": 0.0}, True),
        ({"noise_kind": "pairflip", "noise_rate": 0.0}, True),
        ({"noise_kind": "none", "noise_rate": 0.4}, True),
        ({"noise_kind": "pairflip", "noise_rate": 0.4}, False),
    ],
)
def test_only_without_noise_did_clean_labels_choose_as_noisy_ones_do(axes: dict[str, Any], is_clean: bool) -> None:
    old = copy.deepcopy(next(old for old in OLD if old["accuracy"]))
    old["cell"] |= axes
    accuracy = migrate(old)["accuracy"]
    chosen = old["accuracy"]["test_at_best_validation"]
    assert accuracy["test_at_best_validation"] == (chosen if is_clean else None)
    assert accuracy["test_at_best_clean_validation"] == chosen


@pytest.mark.parametrize("nothing", [[], {}, ""])
def test_an_accuracy_without_epochs_is_refused(results: Path, nothing: Any) -> None:
    content = copy.deepcopy(next(old for old in OLD if old["accuracy"]))
    content["accuracy"]["epochs"] = nothing
    refusal = refusal_of(content, results)
    assert refusal is not None
    assert refusal.startswith(f"{results}, line 2 ")
    assert "epochs" in refusal


def test_migration_does_not_change_its_argument_or_a_present_record() -> None:
    for old, record in zip(copy.deepcopy(OLD), read_records(OLD_FILE).records, strict=True):
        before = copy.deepcopy(old)
        assert migrate(old)["schema"] == SCHEMA
        assert old == before
        now = json.loads(record.line())
        assert migrate(now) is now


@pytest.mark.long
def test_a_report_is_made_of_old_records(tmp_path: Path) -> None:
    summary = write_report([OLD_FILE], tmp_path / "old.html").summary
    assert set(summary["network"]) == {"cascade-linear", "cascade-conv"}
    page = (tmp_path / "old.html").read_text(encoding="utf-8")
    for old in OLD:
        if old["memory"]:
            assert f"{old['memory']['peak_activation_bytes']:,}" in page


def test_a_run_appends_to_an_old_file(tmp_path: Path, results: Path, measuring_cli: RunCli) -> None:
    shutil.copyfile(OLD_FILE, results)
    grids = [{axis: value for axis, value in old["cell"].items() if value is not None} for old in OLD]
    sweep = write_sweep(tmp_path / "sweep.toml", *grids, {"method": "bp", "dataset": "random", "passes": ["memory"]})
    ended = measuring_cli("run", sweep, "--out", results)
    assert "1 cell measured, 1 ok, 6 stored before" in ended.stdout, ended.stderr
    assert results.read_bytes().startswith(OLD_FILE.read_bytes()), "old lines stay as they are"
    assert json.loads(results.read_text(encoding="utf-8").splitlines()[6])["schema"] == SCHEMA
    assert len(sound_records(results)) == 7


def refusal_of(content: dict[str, Any], path: Path) -> str | None:
    """The error of reading a file whose second line of three is ``content``; None if it can be read."""
    lines = [json.dumps(OLD[0]), json.dumps(content), json.dumps(OLD[1])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        read_records(path)
    except StoreError as error:
        return str(error)
    return None


def test_a_missing_key_is_named_with_file_and_line(results: Path) -> None:
    assert len(PLACES) > 400
    for number, place in PLACES:
        content = copy.deepcopy(OLD[number])
        del holder_of(content, place)[place[-1]]
        refusal = refusal_of(content, results)
        assert refusal is not None, place
        assert refusal.startswith(f"{results}, line 2 "), place
        assert str(place[-1]) in refusal, place


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "results.jsonl"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(where=st.sampled_from(PLACES), value=ANYTHING | st.just(0) | st.just(10**400))
def test_a_changed_value_is_read_or_refused_with_file_and_line(
    scratch: Path, where: tuple[int, Place], value: Any
) -> None:
    number, place = where
    content = copy.deepcopy(OLD[number])
    holder_of(content, place)[place[-1]] = value
    refusal = refusal_of(content, scratch)
    assert refusal is None or refusal.startswith(f"{scratch}, line 2 ")
