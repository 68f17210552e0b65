"""``sid-bench trace``: which cell it takes, what it writes, and how it ends."""

import csv
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from record_builder import make_record
from typer.testing import CliRunner, Result

from bench.cli.app import app
from bench.cli.chosen_cell import choose_cell
from bench.config.methods import load_method
from bench.config.sweep import load_sweep
from bench.store.file import read_records

FILES = {"breakdown.json", "at_peak.csv", "over_time.csv", "memory_snapshot.pickle", "trace.json"}
TINY = [
    word
    for axis in ("depth=3", "modules=3", "hidden=8", "batch_size=4", "image_size=8", "threads=1")
    for word in ("--set", axis)
]


def trace(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["trace", *map(str, arguments)])


@pytest.mark.long
def test_it_writes_every_file_and_a_table_that_sums_to_the_peak(measuring_cli: RunCli, tmp_path: Path) -> None:
    ended = measuring_cli("trace", "--set", "method=bp", *TINY, "--out", tmp_path / "step")
    assert ended.exit_code == 0, ended.output
    assert {file.name for file in (tmp_path / "step").iterdir()} == FILES
    found = json.loads((tmp_path / "step" / "breakdown.json").read_text())
    peak = found["memory"]["peak_activation_bytes"]
    assert found["peak_activation_bytes"] == peak
    assert f"peak of activations {peak:,} bytes, of all bytes {found['peak_total_bytes']:,} bytes" in ended.stdout
    sums = [line for line in ended.stdout.splitlines() if line.startswith("sum ")]
    assert sums[0].rstrip().endswith(f" {peak:,}")
    assert sums[1].rstrip().endswith(f"{found['peak_total_bytes'] - peak:,}")
    assert re.search(r"^local_modules\.0 ", ended.stdout, flags=re.MULTILINE)
    assert "mlp" not in ended.stdout
    rows = list(csv.DictReader((tmp_path / "step" / "at_peak.csv").open()))
    assert sum(int(row["bytes"]) for row in rows) == found["peak_total_bytes"]
    snapshot = pickle.loads((tmp_path / "step" / "memory_snapshot.pickle").read_bytes())
    assert set(snapshot) == {"segments", "device_traces"}
    assert json.loads((tmp_path / "step" / "trace.json").read_text())["traceEvents"]


def test_a_stored_cell_has_the_bytes_of_its_record(measuring_cli: RunCli, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    axes = [*TINY, "--set", "method=sid-streamed,dgl", "--set", "network=pipeline-linear", "--set", "passes=memory"]
    assert measuring_cli("run", *axes, "--out", results, "--quiet").exit_code == 0
    for record in read_records(results).latest.values():
        ended = measuring_cli("trace", f"{results}#cell={record.id[:8]}", "--out", tmp_path / record.id, "--detail")
        assert ended.exit_code == 0, ended.output
        assert "warning" not in ended.stderr
        found = json.loads((tmp_path / record.id / "breakdown.json").read_text())
        assert found["id"] == record.id
        assert record.memory is not None
        assert found["peak_activation_bytes"] == record.memory.peak_activation_bytes
        assert "local_modules.1.head." in ended.stdout  # rows of submodules


def test_a_record_with_other_bytes_is_told(measuring_cli: RunCli, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    axes = [*TINY, "--set", "method=bp", "--set", "passes=memory"]
    assert measuring_cli("run", *axes, "--out", results, "--quiet").exit_code == 0
    line = json.loads(results.read_text())
    line["memory"]["peak_activation_bytes"] += 4
    results.write_text(json.dumps(line) + "\n")
    ended = measuring_cli("trace", f"{results}#{line['id']}", "--out", tmp_path / "step")
    assert ended.exit_code == 0
    assert f"the record holds {line['memory']['peak_activation_bytes']:,} bytes" in " ".join(ended.stderr.split())
    assert json.loads(results.read_text()) == line  # nothing is stored


def test_a_step_that_fails_ends_the_command_and_writes_nothing(measuring_cli: RunCli, tmp_path: Path) -> None:
    ended = measuring_cli("trace", "--set", "method=bp", *TINY, "--out", tmp_path / "step", "--cell-timeout", 0.001)
    assert ended.exit_code == 2
    assert "timeout: no result within 0.001 s" in ended.stderr
    assert not (tmp_path / "step").exists()


def test_a_cell_of_a_suite_is_found_by_its_id_or_by_what_it_has() -> None:
    cells = load_sweep("smoke").cells
    for cell in cells:
        assert choose_cell(f"smoke#{cell.id}", [], []).cell == cell
        assert choose_cell(f"smoke#cell={cell.id[:9]}", [], []).cell == cell
    chosen = choose_cell("smoke", ["batch_size=8"], ["method=sid-streamed"]).cell
    assert (chosen.method, chosen.batch_size) == ("sid-streamed", 8)
    changed = choose_cell(f"smoke#{cells[0].id}", ["hidden=8"], [])
    assert changed.cell == load_sweep("smoke", ["hidden=8"]).cells[0]
    assert changed.record is None
    assert changed.files[0].name == "smoke.toml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["smoke"], "smoke has 4 cells; legal: one, by smoke#ID, --only or --set"),
        (["smoke#zzz"], "smoke#zzz names no cell; legal: an id in smoke: "),
        (["smoke#"], "smoke# names no cell; legal: an id in smoke: "),
        (["no-such-suite"], "there is no results file and no suite 'no-such-suite'"),
        (["no-such.jsonl#12"], "there is no results file and no suite 'no-such.jsonl'; legal: FILE.jsonl#ID, SUITE#ID"),
        (["no-such.jsonl"], "there is no results file and no suite"),
        (["smoke#12", "--only", "method=bp"], "--only method=bp with smoke#12; legal: --only with a suite and no id"),
        ([], "legal: one, by --set method=NAME"),
        (["--set", "method=bp", "--set", "depth=2,4"], "what --set says has 2 cells"),
        (["--set", "method=bp-budget"], "compiled"),
        (["--set", "method=bp", "--set", "compile=true"], "compiled"),
        (["--set", "method=sid-parallel", "--set", "ranks=2"], "ranks = 2; legal for a trace: 1"),
        (["--set", "method=bp", "--memory-limit", "x"], "--memory-limit"),
        (["--set", "method=bp", "--threads", "1", "--set", "threads=2"], "--threads 1 and --set threads=2 differ"),
    ],
    ids=str,
)
def test_a_cell_that_cannot_be_traced_is_refused_with_what_is_legal(arguments: list[str], said: str) -> None:
    ended = trace(*arguments)
    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.split())
    assert ended.stdout == ""


@pytest.mark.parametrize("name", ["bp-checkpoint", "bp-microbatch", "sid-streamed-recompute"])
def test_a_stored_method_is_traced_by_its_name_of_today(name: str, tmp_path: Path) -> None:
    row = load_method(name)
    assert row.alias_of is not None
    of_today = make_record({"method": row.alias_of, "network": "cascade-conv", "passes": ["memory"]}, memory=100)
    cell = of_today.cell.model_copy(update={"method": name})
    file = tmp_path / "stored.jsonl"
    file.write_text(of_today.model_copy(update={"cell": cell, "id": cell.id}).line() + "\n", encoding="utf-8")
    (record,) = read_records(file).latest.values()
    assert record.cell.method == name
    chosen = choose_cell(f"{file}#{record.id}", [], [])
    assert chosen.record == record
    assert chosen.cell.method == row.alias_of
    presets = row.presets_for(record.cell.model_dump())
    assert presets
    assert {axis: getattr(chosen.cell, axis) for axis in presets} == presets


def test_a_stored_cell_is_traced_as_it_is(tmp_path: Path) -> None:
    record = make_record({"method": "bp", "passes": ["memory"]}, memory=100)
    file = tmp_path / "stored.jsonl"
    file.write_text(record.line() + "\n", encoding="utf-8")
    assert choose_cell(f"{file}#{record.id}", [], []) == (record.cell, [file], record)


def test_two_values_with_an_id_are_refused() -> None:
    id_ = load_sweep("smoke").cells[0].id
    ended = trace(f"smoke#{id_}", "--set", "batch_size=2,4")
    assert ended.exit_code == 2
    assert "--set batch_size=2,4 with an id; legal: one value" in " ".join(ended.stderr.split())


def test_the_beginning_of_two_ids_is_refused(tmp_path: Path) -> None:
    suite = tmp_path / "many.toml"
    suite.write_text(f"[[grid]]\nseed = {list(range(17))}\n")  # more cells than there are first digits
    cells = load_sweep(str(suite)).cells
    digit = next(cell.id[0] for cell in cells if sum(other.id[0] == cell.id[0] for other in cells) > 1)
    ended = trace(f"{suite}#{digit}")
    assert ended.exit_code == 2
    assert "cells; legal: an id in" in " ".join(ended.stderr.split())


def test_a_folder_that_is_a_file_and_outputs_that_are_inputs_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    ended = trace("--set", "method=bp", "--out", file)
    assert ended.exit_code == 2
    assert "is no folder" in ended.stderr
    assert file.read_text() == "x"


@pytest.mark.long
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM], ids=str)
def test_an_interrupted_trace_ends_with_its_process_and_writes_nothing(number: int, tmp_path: Path) -> None:
    started = tmp_path / "started"
    rule = tmp_path / "rule.py"
    rule.write_text(
        "import pathlib, time\n"
        "def sleeps(*_, **__):\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    time.sleep(600)\n"
    )
    command = [
        sys.executable,
        "-m",
        "bench",
        "trace",
        "--set",
        f"method={rule}:sleeps",
        *TINY,
        "--out",
        str(tmp_path / "step"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert not (tmp_path / "step").exists()


def test_help_says_what_a_cell_is() -> None:
    shown: Any = " ".join(trace("--help").stdout.split())
    assert "FILE.jsonl#ID" in shown
