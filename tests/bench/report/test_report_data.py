"""The data block of the page: every record exactly, the cell's command, and the file beside the page."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import make_record
from typer.testing import CliRunner

from bench.analysis.frame import records_frame
from bench.cli.app import app
from bench.config import sweep
from bench.config.axis import Axis
from bench.config.cell import BUILT_IN_AXES, Cell
from bench.config.check import make_cell
from bench.config.command import command_of
from bench.config.sweep import load_sweep, parse_override, suite_names
from bench.report.data.block import data_block, decode, raw_script
from bench.report.data.columns import columns_of, records_of, values_of
from bench.report.data.held import Held, held_columns
from bench.report.inputs import read_inputs
from bench.store.record import Record

REFERENCE = Path(__file__).parents[3] / "results" / "reference"

# Few keys, so that paths meet; one with a full stop, an empty one, and one that scripts treat in a special way.
KEYS = st.sampled_from(["a", "b", "a.b", "", "__proto__", "é"])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text('a0é\n"\u2028', max_size=3)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from([0, 0.0, -0.0, 1, 1.0])
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), TREES, max_size=3), max_size=6)

OWN_METHOD = """
from bench.config.methods import Method

def step(objective, network, batch):
    raise NotImplementedError

mine = Method(name="mine", summary="one", rule=step)
"""
OWN_SUITE = """
[[grid]]
method = ["sid-streamed"]
depth = 6
modules = "depth/2"
alpha = ["0.9..0.1", [0.5, 1e-5, 1.0]]
direction = "reverse"
smoothing = [0.1, 0.25]
optimizer = "sgd"
learning_rate = [1e-07, 0.05]
seed = 9007199254740993
noise_rate = 0.4
threads = 2
processes = 3

[[grid]]
method = "RULE:mine"
dataset = "random"
image_size = 12
classes = 7
compile = true
passes = ["latency"]

[[grid]]
method = "bp"
dataset = "image-folder:my pictures"
image_size = 32
passes = ["inference", "memory"]
"""


def as_text(value: object) -> str:
    """A text that tells 1, 1.0, true and -0.0 apart, as JSON does."""
    return json.dumps(value, sort_keys=True)


def held_of(*records: Record) -> Held:
    return held_columns(records, records_frame(records))


def records_in(name: str) -> tuple[Record, ...]:
    return read_inputs([REFERENCE / f"{name}.jsonl"]).records


@settings(deadline=None)
@given(RECORDS)
def test_columns_give_back_the_same_records(records: list[dict[str, Any]]) -> None:
    columns = json.loads(json.dumps(columns_of(records)))
    assert as_text(records_of(len(records), columns)) == as_text(records)


@settings(deadline=None)
@given(RECORDS)
def test_integers_that_a_script_cannot_hold_are_there_as_text(records: list[dict[str, Any]]) -> None:
    for path, column in columns_of(records).items():
        held = column["a"] if "a" in column else column["v"]
        for index, text in column.get("exact", {}).items():
            assert text == json.dumps(held[int(index)]), path
        for index, value in enumerate(held):
            if type(value) is int and float(value) != value:
                assert str(index) in column["exact"]


@pytest.mark.parametrize("name", ["default", "parallel", "noise-pipeline"])
@pytest.mark.parametrize("raw_file", [None, "page.raw.js"])
def test_the_block_holds_every_record_of_a_file(name: str, raw_file: str | None) -> None:
    records = records_in(name)
    held = held_of(*records)
    block = decode(data_block(held, raw_file))
    if raw_file is None:
        raw = block["raw"]
    else:
        assert block["raw"] is None
        assert block["raw_file"] == raw_file
        raw = decode(raw_script(held.raw).removeprefix('sidBenchRaw("').removesuffix('");\n'))
    assert block["count"] == len(records)
    assert not block["columns"].keys() & raw.keys()
    assert not block["columns"].keys() & block["derived"].keys()
    back = records_of(block["count"], block["columns"], raw)
    assert as_text(back) == as_text([json.loads(record.line()) for record in records])


def test_every_column_of_the_table_is_in_the_block() -> None:
    for name in ("default", "parallel"):
        block = decode(data_block(held_of(*records_in(name)), None))
        columns = block["columns"] | block["derived"]
        paths = [column["path"] for column in block["table"]]
        assert len(set(paths)) == len(paths)
        assert set(paths) <= columns.keys()
        assert {"series", "cell.depth", "memory.peak_activation_bytes"} <= set(paths)
        for column in block["table"]:
            held = [value for _, value in values_of(columns[column["path"]]) if value is not None]
            is_text = all(isinstance(value, str | bool | list) for value in held)
            assert is_text or column["kind"] != "text" or column["path"].startswith("cell.")


def test_derived_columns_compare_with_bp_on_the_same_cell() -> None:
    cells = [{"method": method, "seed": seed} for method in ("bp", "sid-streamed") for seed in (0, 1)]
    sizes, shares = (1000, 1000, 250, 500), (0.9, 0.8, 0.95, 0.7)
    records = [
        make_record(cell, size, (1.2, 1.1, 1.3), accuracy=share)
        for cell, size, share in zip(cells, sizes, shares, strict=True)
    ]
    records.append(make_record({"depth": 8, "modules": 8, "passes": ["memory"]}, status="oom", message="none left"))
    derived = decode(data_block(held_of(*records), None))["derived"]
    values = {path: dict(values_of(column)) for path, column in derived.items()}
    assert [values["memory.activation_ratio"][row] for row in range(5)] == [1, 1, 0.25, 0.5, None]
    assert [values["latency.ratio_low"][row] for row in range(5)] == [1.1] * 4 + [None]
    assert [values["latency.process_count"][row] for row in range(5)] == [1] * 4 + [None]
    assert values["accuracy.difference"][2] == pytest.approx(0.05)
    assert values["accuracy.difference"][3] == pytest.approx(-0.1)
    groups = [values["group"][row] for row in range(5)]
    assert groups[0] == groups[2] != groups[1] == groups[3] != groups[4]


def cells_of(command: str) -> list[str]:
    """The ids of the cells that ``command`` lists with --dry-run."""
    result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--dry-run"])
    assert result.exit_code == 0, result.output
    *cells, count = result.stdout.splitlines()
    assert count == f"{len(cells)} cell{'s' * (len(cells) != 1)}"
    return [line.split()[0] for line in cells]


@pytest.mark.parametrize("suite", suite_names())
def test_the_command_of_a_cell_of_a_suite_measures_that_cell_alone(suite: str) -> None:
    for cell in load_sweep(suite).cells:
        command = command_of(cell, "one.jsonl")
        assert command is not None
        words = shlex.split(command)
        assert words[:2] == ["sid-bench", "run"]
        options = [word for before, word in pairwise(words) if before == "--set"]
        assert [found.id for found in load_sweep(None, options).cells] == [cell.id]


def test_the_command_of_a_cell_of_ones_own_suite_measures_that_cell_alone(tmp_path: Path) -> None:
    rule = tmp_path / "my rule.py"
    rule.write_text(OWN_METHOD)
    suite = tmp_path / "own.toml"
    suite.write_text(OWN_SUITE.replace("RULE", str(rule)))
    cells = load_sweep(str(suite)).cells
    assert len(cells) == 2 * 2 * 2 + 2
    for cell in cells:
        command = command_of(cell, "one.jsonl")
        assert command is not None
        assert cells_of(command) == [cell.id]


@pytest.mark.parametrize("value", [[3, 4], [[1], [2, 3]], {"a": [1]}, [{"a": 1}], [], {}])
def test_no_command_says_what_an_unknown_axis_holds(value: Any) -> None:
    """The package that added the axis is not installed."""
    cell = make_cell({"dataset": "random", "passes": ["memory"]})
    stored = Record.parse(make_record({}).model_dump(by_alias=True) | {"cell": cell.model_dump() | {"layers": value}})
    assert command_of(stored.cell) is None


def test_a_command_says_a_list_of_a_known_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    added = MappingProxyType(BUILT_IN_AXES | {"patience": Axis(name="patience", later=True)})
    monkeypatch.setattr(sweep, "axes", lambda: added)
    cell = Cell.model_validate({"patience": [3, 4]})
    assert "--set patience=3:4" in str(command_of(cell))
    assert command_of(Cell.model_validate({"patience": [[3], [4]]})) is None


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("a1e:,.- '\"\\é"), min_size=1, max_size=6))
def test_a_command_says_the_name_of_a_folder_exactly_or_not_at_all(folder: str) -> None:
    cell = make_cell({"dataset": "random", "passes": ["memory"]}).model_copy(update={"dataset": folder})
    command = command_of(cell, "one.jsonl")
    if "," in folder:
        assert command is None
    if command is not None:
        options = [word for word in shlex.split(command) if word.startswith("dataset=")]
        assert parse_override(options[0]) == ("dataset", [folder])
