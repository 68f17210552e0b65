"""Files whose names are not UTF-8, or hold what shells, HTML or TOML treat in a special way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import OK, Script, write_sweep
from page_reader import records_in_page
from record_builder import make_record

from bench.report import write_report
from bench.store.file import read_records

NAMES = [b"two\nlines", b"'quo\"ted'", b"$HOME `id` %s %", "🙂 é".encode(), b"<b>&amp;", b"-dash", b"{{x}}"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_run_resume_and_report_take_any_name(cli: RunCli, script: Script, tmp_path: Path, name: bytes) -> None:
    script(lambda _: OK)
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    stem = os.fsdecode(name)
    sweep = write_sweep(folder / f"{stem}.toml", method=["bp", "sid-streamed"], dataset="random")
    results = folder / f"{stem}.jsonl"
    for measured in (2, 0):
        ended = cli("run", sweep, "--out", results)
        assert ended.exit_code == 0, ended.exception
        assert f"{measured} cells measured" in ended.stdout
    assert len(read_records(results).records) == 2
    assert results.read_text(encoding="utf-8").count("\n") == 2

    results.write_bytes(results.read_bytes()[:-20])
    page, summary, figures = folder / f"{stem}.html", folder / f"{stem}.md", folder / f"{stem} figures"
    ended = cli("report", results, "--out", page, "--markdown", summary, "--figures", figures)
    assert ended.exit_code == 0, ended.exception
    shown = page.read_text(encoding="utf-8")
    assert "<title>What does backpropagation cost?</title>" in shown
    assert "<b>" not in shown.partition("</header>")[0].replace("<body>", "")
    summary.read_text(encoding="utf-8")
    ended = cli("run", sweep, "--out", results)
    assert ended.exit_code == 0, ended.exception
    assert "1 cell measured, 1 ok, 1 stored before" in ended.stdout
    assert len(read_records(results).records) == 2


def test_names_that_are_not_utf_8_stand_as_escapes_on_the_page(tmp_path: Path) -> None:
    results = tmp_path / os.fsdecode(b"bad\xff.jsonl")
    results.write_text(make_record({}, suite=os.fsdecode(b"sweet\xfe")).line() + "\n")
    write_report([results], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "bad\\udcff.jsonl" in page
    assert records_in_page(tmp_path / "page.html") == [json.loads(results.read_text())]


# The command line in a process of its own, with cells that are answered at once.
COMMANDS = """
import os, sys
import bench.cli.measure
from bench.cli import main
from harness_tools import OK, ScriptedExecutor

bench.cli.measure.make_executor = lambda settings: ScriptedExecutor(lambda cell: OK)
for arguments in (["run", "bad\\udcff.toml"],) * 2 + (["report", "--quiet", "results/bad\\udcff.jsonl"],):
    sys.argv = ["sid-bench", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0
"""


@pytest.mark.long
def test_suites_and_results_whose_names_are_not_utf_8_are_run_and_reported(tmp_path: Path) -> None:
    write_sweep(tmp_path / os.fsdecode(b"bad\xff.toml"), method=["bp", "sid-streamed"], dataset="random")
    root = Path(__file__).parents[3]
    path = os.pathsep.join(map(str, (root, root / "tests" / "bench", Path(__file__).parent)))
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    lines = ended.stdout.splitlines()
    assert lines[0] == b"2 cells, 0 stored already, 2 to measure"
    assert lines[-1] == os.fsencode(tmp_path / "reports") + b"/bad\xff.html", "scripts can use what is printed"
    (shown, _) = records_in_page(Path(os.fsdecode(lines[-1])))
    assert shown["suite"] == "bad\\udcff"
    results = read_records(tmp_path / "results" / os.fsdecode(b"bad\xff.jsonl"))
    assert [record.suite for record in results.records] == ["bad\\udcff"] * 2


def test_a_figure_of_a_network_in_a_file_is_written_into_the_folder(tmp_path: Path) -> None:
    """Its name contains that of the network, which may be a path."""
    records = []
    for name in ("../my.py:units", "..-my.py:units"):
        cell = make_record({"depth": 2, "modules": 2}).cell.model_copy(update={"network": name})
        trace = {"steps": 1, "rank": [0, 0], "module": [1, 2], "phase": "ff"}
        trace |= {"start_seconds": [0.0, 1.0], "end_seconds": [1.0, 2.0]}
        stored = make_record({"depth": 2, "modules": 2}, latency=(1.0, 0.9, 1.1), trace=trace)
        records.append(stored.model_copy(update={"cell": cell, "id": cell.id}))
    results = tmp_path / "mine.jsonl"
    results.write_text("".join(f"{record.line()}\n" for record in records))
    write_report([results], tmp_path / "page.html", tmp_path / "deep" / "figures")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "mine.jsonl", "page.html"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["figures"]
    schedules = [path for path in (tmp_path / "deep" / "figures").iterdir() if "schedule" in path.name]
    assert len(schedules) == 2
