"""The command line: help, listings, dry runs, output, files."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from command_line import RunCli
from harness_tools import FinishedRun, bench_environment, sound_records

import bench.cli.app
from bench.config.axes import axes
from bench.config.cell import Cell
from bench.config.datasets import dataset_names
from bench.config.label import label
from bench.config.methods import method_names
from bench.config.networks import network_names
from bench.config.sweep import load_sweep, question_of, suite_names


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "run",
            "SUITE --out --set --data-root --download --cell-timeout --memory-limit --threads --pin --retries "
            "--retry-failed --no-frontier --strict --dry-run --quiet",
        ),
        (
            "repeat",
            "SUITE --from FILE --times --out --set --only --processes --data-root --download --cell-timeout "
            "--memory-limit --threads --ranks --pin --retries --retry-failed --no-frontier --strict --dry-run --json "
            "--quiet",
        ),
        ("report", "FILE --out --figures --markdown --quiet"),
        ("doctor", "--json --strict"),
        ("list", "suites methods networks datasets axes"),
    ],
)
def test_help_mentions_every_option(cli: RunCli, monkeypatch: pytest.MonkeyPatch, command: str, options: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = cli(command, "--help")
    assert ended.exit_code == 0
    for option in options.split():
        assert option in ended.stdout
    known = typer.main.get_command(bench.cli.app.app).commands[command]  # type: ignore[attr-defined]
    for parameter in known.params:
        assert all(option in ended.stdout for option in parameter.opts if option.startswith("--"))
        assert getattr(parameter, "help", None), parameter.name


def test_help_shows_the_defaults_that_are_written_by_hand(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    commands = typer.main.get_command(bench.cli.app.app).commands  # type: ignore[attr-defined]
    found = 0
    for name, command in commands.items():
        written = sum("[default: " in (getattr(parameter, "help", None) or "") for parameter in command.params)
        shown = cli(name, "--help").stdout.count("[default:")
        assert shown >= written, name
        found += written
    assert found > 10


def test_help_lists_the_commands(cli: RunCli) -> None:
    ended = cli("--help")
    assert ended.exit_code == 0
    for command in ("run", "repeat", "report", "doctor", "list"):
        assert command in ended.stdout
    assert cli().exit_code == 2, "no command is an error"


def test_list_names_everything(cli: RunCli) -> None:
    ended = cli("list")
    assert ended.exit_code == 0
    words = {line.split()[0] for line in ended.stdout.splitlines() if line.strip()}
    for name in (*suite_names(), *method_names(), *network_names(), *dataset_names(), *axes()):
        assert name in words


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("suites", suite_names()),
        ("methods", method_names()),
        ("networks", network_names()),
        ("datasets", dataset_names()),
        ("axes", list(axes())),
    ],
)
def test_list_of_one_kind_lists_that_kind_only(cli: RunCli, what: str, names: list[str]) -> None:
    ended = cli("list", what)
    first_words = [line.split()[0] for line in ended.stdout.splitlines() if line and not line.startswith(" ")]
    assert first_words == [what, *names]


def test_each_suite_is_listed_with_the_question_that_titles_its_report(cli: RunCli) -> None:
    shown = " ".join(cli("list", "suites").stdout.split())
    for name in suite_names():
        question = question_of(name)
        assert question is not None
        assert question.endswith("?")
        assert f"{name} {question}"[:40] in shown


def test_list_of_an_unknown_kind_names_the_known(cli: RunCli) -> None:
    ended = cli("list", "method")
    assert ended.exit_code == 2
    assert "unknown listing 'method'; did you mean methods? legal: suites, methods, networks" in ended.stderr


def dry_run(cli: RunCli, *arguments: object) -> list[str]:
    """Returns the lines that ``--dry-run`` prints."""
    ended = cli("run", *arguments, "--dry-run")
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("suite", suite_names())
@pytest.mark.long
def test_dry_run_prints_one_line_per_cell_and_writes_nothing(
    cli: RunCli, results: Path, asked: list[tuple[str, Cell]], suite: str
) -> None:
    cells = load_sweep(suite).cells
    lines = dry_run(cli, suite, "--out", results)
    assert [line.split()[0] for line in lines[:-1]] == [cell.id for cell in cells]
    assert all(label(cell) in line for cell, line in zip(cells, lines, strict=False))
    assert lines[-1] == f"{len(cells):,} cells"
    assert asked == []
    assert not results.exists()


def test_quiet_prints_the_summary_only(cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]) -> None:
    ended = cli("run", sweep, "--out", results, "--quiet", "--set", "method=bp,bp-checkpoint")
    assert ended.exit_code == 0
    assert ended.stderr == ""
    (line,) = ended.stdout.splitlines()
    assert line.startswith("2 cells measured, 1 crashed, 1 ok, 0 stored before")
    assert line.endswith(f"records in {results}")
    assert len(asked) == 2


def test_without_quiet_each_cell_has_a_line(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    ended = cli("run", sweep, "--out", results, "--set", "method=bp,bp-checkpoint")
    lines = ended.stdout.splitlines()
    assert lines[0] == "2 cells, 0 stored already, 2 to measure"
    assert lines[1].startswith("[1/2] ok bp cascade-linear random")
    assert lines[2].startswith("[2/2] crashed bp cascade-linear random")
    assert lines[2].endswith(": [red] alert"), "messages are not markup"
    assert len(lines) == 4
    assert [task for task, _ in asked] == ["measure", "measure"]


def test_data_is_checked_once_before_the_first_cell(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    cli("run", sweep, "--out", results, "--set", "dataset=digits", "--set", "seed=0,1,2")
    assert [task for task, _ in asked] == ["check"] + ["measure"] * 6


def test_results_go_to_a_file_named_after_the_suite(
    cli: RunCli, sweep: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[tuple[str, Cell]]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("run", sweep).exit_code == 0
    assert [record.suite for record in sound_records(tmp_path / "results" / "sweep.jsonl")] == ["sweep", "sweep"]
    assert len(asked) == 2


def test_a_record_that_was_cut_short_is_reported_and_measured_again(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    cli("run", sweep, "--out", results)
    content = results.read_bytes()
    results.write_bytes(content[:-30])
    ended = cli("run", sweep, "--out", results)
    assert ended.exit_code == 0
    assert f"{results}, line 2: the last line was cut short; it is now in {results}.damaged" in ended.stderr
    assert "1 cell measured, 1 ok, 1 stored before" in ended.stdout
    assert len(sound_records(results)) == 2
    assert len(asked) == 3


def test_only_failed_cells_are_retried(cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]) -> None:
    arguments = ("run", sweep, "--out", results, "--set", "method=bp,bp-checkpoint")
    cli(*arguments)
    assert "0 cells measured, 2 stored before" in cli(*arguments).stdout
    assert "1 cell measured, 1 crashed, 1 stored before" in cli(*arguments, "--retry-failed").stdout
    assert [cell.recompute for _, cell in asked] == ["none", "modules", "modules"]
    assert [record.status for record in sound_records(results)] == ["ok", "crashed", "crashed"]


def test_a_sweep_file_is_run_by_its_path(finished_run: FinishedRun) -> None:
    records = sound_records(finished_run.results)
    assert [record.cell.method for record in records] == ["bp", "sid-streamed"]
    assert [record.status for record in records] == ["ok", "ok"]
    assert {record.suite for record in records} == {"tiny"}
    for record in records:
        assert record.memory is not None
        assert record.accuracy is not None
        assert record.latency is None
        assert record.timing is not None
        assert record.environment["torch"]
        assert record.environment["denormals_flushed"] is True
    assert "2 cells measured, 2 ok, 0 stored before" in finished_run.output


@pytest.mark.long
@pytest.mark.parametrize("options", [["--cell-timeout=0.01"], ["--memory-limit=1MiB"]])
def test_limits_that_every_cell_exceeds_make_records(
    measuring_cli: RunCli, sweep: Path, results: Path, options: list[str]
) -> None:
    ended = measuring_cli("run", sweep, "--set", "dataset=digits", "--out", results, *options)
    assert ended.exit_code == 1, ended.stderr
    assert ended.stderr == "0 of 2 cells ok\n"
    assert len(sound_records(results)) == 2


PARENT_WITHOUT_TORCH = """
import sys
import bench.cli.app, bench.execute.run, bench.store.record, bench.store.file
from bench.config.sweep import load_sweep, suite_names
from bench.config.methods import load_method, method_names

for name in suite_names():
    load_sweep(name)
for name in method_names():
    load_method(name)
bench.cli.app.app(["list"], standalone_mode=False)
loaded = {"torch", "torchvision", "pandas", "matplotlib", "sklearn", "scipy"} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.long
def test_the_process_of_the_sweep_never_loads_torch() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PARENT_WITHOUT_TORCH],
        env=bench_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "smoke" in ended.stdout
