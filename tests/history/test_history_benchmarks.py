"""The benchmarks ask the installed command for what it knows, skip what it does not know, and fail where it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# A command that knows some methods and some axes, and writes records with what a test says of each method.
COMMAND = """\
#!{python}
import json, sys, tomllib
from pathlib import Path
asked = sys.argv[1]
if asked not in {commands!r}:
    sys.exit("error: no such command") if asked == "broken" else sys.exit(2)
if asked == "run":
    suite = tomllib.loads(Path(sys.argv[2]).read_text())
    (grid,) = suite["grid"]
    methods = grid.get("method", ["bp"])
    if not set(methods) <= set({methods!r}) or not set(grid) <= set({axes!r}):
        print("error: unknown", file=sys.stderr)
        sys.exit(2)
    if {crashes}:
        sys.exit(1)
    depths = grid["depth"] if isinstance(grid["depth"], list) else [grid["depth"]]
    with open(sys.argv[sys.argv.index("--out") + 1], "a") as out:
        for number, (depth, method) in enumerate((d, m) for d in depths for m in methods):
            cell = {{"depth": depth, "method": method, "processes": grid.get("processes", 1)}}
            if method == "bp-checkpoint":
                cell |= {{"method": "bp", "recompute": "modules"}}
            record = {{"cell": cell, "status": "ok", "memory": None, "latency": None}}
            if method in {failing!r}:
                record |= {{"status": "crashed", "message": "killed by signal 9"}}
            elif grid["passes"] == ["memory"]:
                record["memory"] = {{"peak_activation_bytes": 100 + number, "peak_total_bytes": 200 + number}}
            else:
                bp = 1.0 if {shares_bp} else 1.0 + number
                record["latency"] = {{"ratio_to_bp": 0.5, "ratio_ci95": [0.4, 0.6], "bp_median_seconds": bp}}
            print(json.dumps(record), file=out)
"""
AXES = ["method", "dataset", "network", "depth", "modules", "width", "hidden", "batch_size", "seed"]
AXES += ["latency_seconds", "passes", "threads", "processes"]
OLD_AXES = AXES[:-2]
METHODS = ["bp", "bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed", "sid-vectorised"]
# Runs a benchmark of a class as asv does, for each combination of parameters.
RUN = """\
import itertools, json, sys
sys.path.insert(0, sys.argv[1])
from benchmarks import latency, memory, speed
owner, _, track = sys.argv[2].rpartition(".")
benchmark = eval(owner)()
cache = benchmark.setup_cache()
found = []
for chosen in itertools.product(*getattr(benchmark, "params", ())):
    try:
        benchmark.setup(cache, *chosen)
        value = getattr(benchmark, track)(cache, *chosen)
    except NotImplementedError:
        value = "skipped"
    except RuntimeError as error:
        value = f"failed: {error}"
    found.append([*chosen, value])
print(json.dumps(found))
"""


def run_benchmark(folder: Path, name: str, **said: Any) -> list[list[Any]]:
    """Returns the parameters and the value of each combination, where ``sid-bench`` is as ``said``."""
    ended = start_benchmark(folder, name, **said)
    assert ended.returncode == 0, ended.stderr
    found: list[list[Any]] = json.loads(ended.stdout)
    return found


def start_benchmark(folder: Path, name: str, **said: Any) -> subprocess.CompletedProcess[str]:
    defaults = {"methods": METHODS, "axes": AXES, "failing": [], "shares_bp": True, "crashes": False}
    commands = {"commands": ["run", "plan", "report"]}
    python = folder / "python"
    python.symlink_to(Path(sys.executable).resolve())
    (folder / "sid-bench").write_text(COMMAND.format(python=python, **{**defaults, **commands, **said}))
    (folder / "sid-bench").chmod(0o755)
    return subprocess.run(
        [python, "-c", RUN, ROOT / "bench" / "asv", name],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bytes_have_the_name_that_a_method_was_asked_for_by(tmp_path: Path) -> None:
    found = run_benchmark(tmp_path, "memory.Cascade.track_activation_bytes")
    cells = [(depth, method) for depth in (4, 64) for method in METHODS]
    assert found == [[*cell, 100 + number] for number, cell in enumerate(cells)]


@pytest.mark.parametrize("known", [6, 5, 2, 0])
def test_methods_that_came_later_are_skipped(tmp_path: Path, known: int) -> None:
    found = run_benchmark(tmp_path, "memory.Cascade.track_total_bytes", methods=METHODS[:known])
    assert {method for _, method, value in found if value == "skipped"} == set(METHODS[known:])
    assert all(value >= 200 for _, method, value in found if method in METHODS[:known])


def test_a_network_that_came_later_is_skipped(tmp_path: Path) -> None:
    found = run_benchmark(tmp_path, "memory.Pipeline.track_total_bytes", axes=set(AXES) - {"network"})
    assert {value for *_, value in found} == {"skipped"}


def test_a_cell_that_fails_is_a_failure_with_its_message_and_the_others_are_measured(tmp_path: Path) -> None:
    found = run_benchmark(tmp_path, "memory.Cascade.track_total_bytes", failing=["sid-streamed"])
    for _, method, value in found:
        if method == "sid-streamed":
            assert value == "failed: crashed: killed by signal 9"
        else:
            assert value >= 200


@pytest.mark.parametrize(
    "name", ["memory.Cascade.track_total_bytes", "latency.Ratio.track_ratio", "speed.Cell.track_overhead"]
)
def test_a_command_that_ends_without_records_is_a_failure(tmp_path: Path, name: str) -> None:
    ended = start_benchmark(tmp_path, name, crashes=True)
    assert ended.returncode == 1
    assert "RuntimeError" in ended.stderr


@pytest.mark.parametrize(
    ("axes", "shares_bp", "timing"),
    [
        (AXES, True, "five processes, each with all methods"),
        (AXES, False, "five processes for each method beside BP"),
        (OLD_AXES, False, "one process for each method beside BP"),
    ],
)
def test_each_way_to_time_has_ratios_of_its_own(tmp_path: Path, axes: list[str], shares_bp: bool, timing: str) -> None:
    found = run_benchmark(tmp_path, "latency.Ratio.track_high", axes=axes, shares_bp=shares_bp)
    assert {value for way, _, value in found if way == timing} == {0.6}
    assert {value for way, _, value in found if way != timing} == {"skipped"}


@pytest.mark.parametrize(("commands", "expected"), [(["run", "report"], ["skipped", None]), (["run"], ["skipped"] * 2)])
def test_commands_that_came_later_are_skipped(tmp_path: Path, commands: list[str], expected: list[Any]) -> None:
    found = run_benchmark(tmp_path, "speed.Commands.time_command", commands=commands)
    assert [value for *_, value in found] == expected


def test_the_overhead_of_a_cell_is_a_number_of_seconds(tmp_path: Path) -> None:
    (((seconds),),) = run_benchmark(tmp_path, "speed.Cell.track_overhead")
    assert abs(seconds) < 1


def test_asv_finds_no_problem_in_them(tmp_path: Path) -> None:
    home = {**os.environ, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "asv", "--config", str(ROOT / "asv.conf.json")]
    subprocess.run([*command, "machine", "--yes"], env=home, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    ended = subprocess.run(
        [*command, "check", "--python=same"],
        env=home,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No problems found" in ended.stdout
