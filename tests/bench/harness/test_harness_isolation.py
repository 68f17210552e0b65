"""Isolation: however the process of a cell ends, the cell has a record and the sweep goes on."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from harness_tools import (
    ScriptedExecutor,
    bench_environment,
    is_alive,
    kill,
    method_source,
    run_bench,
    sound_records,
    tiny_record,
    wait_until,
    write_plugin,
    write_sweep,
)
from one_cell import measure_cell

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.execute.messages import Answer

NAP = 'subprocess.Popen(["sleep", "600"], start_new_session={apart}).pid'
NOTE = 'pathlib.Path(os.environ["TEST_NOTES"], {name!r}).write_text(str({value}))'


def note(name: str, value: str) -> str:
    """The source of a statement that writes ``value`` into a file for the test."""
    return NOTE.format(name=name, value=value)


# In the order of the sweep: each misbehaves in its own way, except the last, an ordinary method of another package.
METHODS = {
    "exits": method_source("os._exit(3)"),
    "exits-quietly": method_source("sys.exit(0)"),
    "raises": method_source('raise ValueError("the seventh\\nseal")'),
    # The text of an error about a file whose name is not UTF-8.
    "raises-bytes": method_source('raise ValueError("no file " + os.fsdecode(bytes([99, 97, 102, 233])))'),
    "killed": method_source("os.kill(os.getpid(), signal.SIGKILL)"),
    "segfaults": method_source("import ctypes\nctypes.string_at(0)"),
    "sleeps": method_source(
        note("child-of-sleeper", NAP.format(apart=False))
        + "\n"
        + note("daemon-of-sleeper", NAP.format(apart=True))
        + "\ntime.sleep(600)"
    ),
    "exits-after-a-fork": method_source(
        "child = os.fork()\nif child == 0:\n    time.sleep(600)\n" + note("fork-of-exiter", "child") + "\nos._exit(4)"
    ),
    "hoards-tensors": method_source("hoard = []\nwhile True:\n    hoard.append(torch.ones(1 << 20))"),
    "hoards-bytes": method_source("hoard = []\nwhile True:\n    hoard.append(bytearray(1 << 22))"),
    "chatters": method_source('print("blah " * 1_000_000, flush=True)\nos.write(2, b"BLAH " * 200_000)'),
    "leaves-a-child": method_source(note("child-of-leaver", NAP.format(apart=False))),
    "crashes-once": method_source(
        'note = pathlib.Path(os.environ["TEST_NOTES"], "crashed-once")\n'
        "if not note.exists():\n"
        "    note.write_text(str(os.getpid()))\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)"
    ),
    "fifth": method_source("", summary="a fifth method from another package"),
}


@dataclass(frozen=True)
class BadSweep:
    """One sweep over all of METHODS and BP: its exit code, output and records, and the processes that cells noted."""

    code: int
    output: str
    errors: str
    records: dict[str, dict[str, Any]]
    order: list[str]
    pids: dict[str, int]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plugin(tmp_path_factory.mktemp("plugins"), "somebodys_methods", METHODS)


@pytest.fixture(scope="module")
def bad_sweep(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadSweep]:
    folder = tmp_path_factory.mktemp("bad")
    notes = folder / "notes"
    notes.mkdir()
    sweep = write_sweep(folder / "bad.toml", method=[*METHODS, "bp"])
    results = folder / "bad.jsonl"
    ended = run_bench(
        *("run", sweep, "--out", results, "--cell-timeout", 5, "--memory-limit", "300MiB"),
        cwd=folder,
        environment=bench_environment(plugins, TEST_NOTES=str(notes)),
    )
    # As plain JSON, since none of these methods is installed where the tests run.
    records = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    pids = {file.name: int(file.read_text()) for file in notes.iterdir()}
    yield BadSweep(
        code=ended.returncode,
        output=ended.stdout,
        errors=ended.stderr,
        records={record["cell"]["method"]: record for record in records},
        order=[record["cell"]["method"] for record in records],
        pids=pids,
    )
    for pid in pids.values():
        kill(pid)


@pytest.mark.long
def test_every_cell_has_one_record_in_the_order_of_the_sweep(bad_sweep: BadSweep) -> None:
    assert bad_sweep.order == [*METHODS, "bp"]


def test_failed_cells_do_not_make_the_sweep_fail(bad_sweep: BadSweep) -> None:
    assert bad_sweep.code == 0, bad_sweep.errors
    assert bad_sweep.errors == ""
    assert "15 cells measured, 7 crashed, 5 ok, 2 oom, 1 timeout, 8 retries, 0 stored before" in bad_sweep.output


def test_an_ordinary_cell_after_the_failures_is_ok(bad_sweep: BadSweep) -> None:
    record = bad_sweep.records["bp"]
    assert (record["status"], record["message"]) == ("ok", None)
    assert record["memory"]["peak_activation_bytes"] > 0


@pytest.mark.parametrize(
    ("method", "status", "message"),
    [
        ("exits", "crashed", r"^exited with code 3 and without a result"),
        ("exits-quietly", "crashed", r"^exited with code \d+ and without a result.*SystemExit"),
        ("raises", "crashed", r"^ValueError: the seventh \(somebodys_methods_raises\.py:8, in accumulate_gradients\)$"),
        (
            "raises-bytes",
            "crashed",
            r"^ValueError: no file caf\\udce9 \(somebodys_methods_raises_bytes\.py:8, in accumulate_gradients\)$",
        ),
        ("killed", "crashed", r"^killed by signal 9 \(SIGKILL\)"),
        ("segfaults", "crashed", r"^killed by signal 11 \(SIGSEGV\)"),
        ("exits-after-a-fork", "crashed", r"^exited with code 4 and without a result"),
        ("sleeps", "timeout", r"^no result within 5 s$"),
        ("hoards-tensors", "oom", r"can't allocate memory"),
        ("hoards-bytes", "oom", r"^MemoryError"),
    ],
)
def test_a_record_says_how_its_cell_failed(bad_sweep: BadSweep, method: str, status: str, message: str) -> None:
    record = bad_sweep.records[method]
    assert record["status"] == status
    assert re.search(message, record["message"], re.DOTALL), record["message"]
    assert record["memory"] is None
    assert record["attempts"] == (2 if status == "crashed" else 1), "only a crash is tried again"
    assert f"{status} {method} cascade-linear" in bad_sweep.output


def test_a_cell_that_crashes_once_is_measured_and_its_record_says_so(bad_sweep: BadSweep) -> None:
    record = bad_sweep.records["crashes-once"]
    assert (record["status"], record["attempts"]) == ("ok", 2)
    assert record["message"] == "attempt 1 crashed: killed by signal 11 (SIGSEGV)"
    assert record["memory"] == bad_sweep.records["bp"]["memory"]


def test_output_of_a_cell_does_not_reach_the_terminal(bad_sweep: BadSweep) -> None:
    assert bad_sweep.records["chatters"]["status"] == "ok"
    assert "blah" not in (bad_sweep.output + bad_sweep.errors).lower()


@pytest.mark.parametrize("name", ["child-of-sleeper", "fork-of-exiter", "child-of-leaver"])
def test_processes_that_a_cell_started_are_killed_after_it(bad_sweep: BadSweep, name: str) -> None:
    assert wait_until(lambda: not is_alive(bad_sweep.pids[name]), seconds=10)


def test_a_process_that_a_cell_started_in_a_session_of_its_own_is_killed_after_it(bad_sweep: BadSweep) -> None:
    assert wait_until(lambda: not is_alive(bad_sweep.pids["daemon-of-sleeper"]), seconds=3)


def test_a_method_of_another_package_runs_under_its_name(bad_sweep: BadSweep) -> None:
    record = bad_sweep.records["fifth"]
    baseline = bad_sweep.records["bp"]
    assert record["status"] == "ok"
    assert record["memory"] == baseline["memory"], "it is BP's step"


def test_methods_of_another_package_are_listed(plugins: Path, tmp_path: Path) -> None:
    ended = run_bench("list", "methods", cwd=tmp_path, environment=bench_environment(plugins))
    assert ended.returncode == 0
    listed = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if len(line.split()) > 1)
    assert listed["fifth"].strip() == "a fifth method from another package"
    assert set(METHODS) | {"bp", "sid-streamed"} <= set(listed)


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("SUMMARY = 'half a method'\nUSES_ALPHA = False\n", "accumulate_gradients"),
        ("import no_such_module\n", "no_such_module"),
    ],
    ids=["lacks a name", "cannot be imported"],
)
def test_a_broken_method_of_another_package_is_named_without_a_traceback(
    tmp_path: Path, source: str, complaint: str
) -> None:
    folder = write_plugin(tmp_path / "plugins", "brokens", {"broken": source})
    sweep = write_sweep(tmp_path / "broken.toml", method="broken")
    ended = run_bench("run", sweep, "--dry-run", cwd=tmp_path, environment=bench_environment(folder))
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_record_of_a_cell_that_was_killed_has_no_timing() -> None:
    record = measure_cell(tiny_record().cell, ScriptedExecutor(lambda _: Answer(status="timeout", message="late")))
    assert record.timing is None
    assert record.id == tiny_record().id


@pytest.mark.long
def test_a_loss_that_is_not_a_number_makes_a_legal_record(measuring_cli: RunCli, tmp_path: Path, results: Path) -> None:
    passes = ["memory", "accuracy"]
    sweep = write_sweep(
        tmp_path / "nan.toml", method=["bp", "sid-streamed"], learning_rate=1e30, passes=passes, train_samples=100
    )
    ended = measuring_cli("run", sweep, "--out", results)
    assert "2 cells measured, 2 ok" in ended.stdout, ended.stderr
    for record in sound_records(results):
        assert record.memory is not None
        assert record.accuracy is not None
        assert record.accuracy.diverged
        assert record.accuracy.epochs[-1].train_loss is None
        assert record.accuracy.kl_by_module[-1] is None
        assert 0 <= record.accuracy.test_last <= 1


def test_a_method_of_another_package_cannot_replace_a_built_in_one(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "plugins", "squatter", {"bp": "raise RuntimeError('not BP')\n"})
    code = "from bench.config.methods import load_method; print(load_method('bp').rule)"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=bench_environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "bench.train.rules.bp:train_end_to_end"


def test_a_method_that_is_not_installed_is_refused_when_a_cell_is_made() -> None:
    with pytest.raises(ConfigError, match="unknown method 'fifth'"):
        make_cell({"method": "fifth"})
