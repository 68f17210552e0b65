"""Exit codes of ``run``: whether the sweep has what was asked for."""

from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import OK, Script, crash

from bench.config.cell import Cell
from bench.execute.messages import Answer


def failing(*methods: str) -> object:
    """Lets the cells of ``methods`` crash."""

    def measure(cell: Cell) -> Answer:
        return crash(final=True) if cell.method in methods else OK

    return measure


@pytest.mark.parametrize(
    ("crashing", "usual", "strict"),
    [((), 0, 0), (("bp",), 0, 1), (("bp", "sid-streamed"), 1, 1)],
    ids=["all ok", "one crashed", "all crashed"],
)
def test_the_code_says_whether_cells_are_ok(
    cli: RunCli, script: Script, sweep: Path, results: Path, crashing: tuple[str, ...], usual: int, strict: int
) -> None:
    executor = script(failing(*crashing))
    for options, code in (((), usual), (("--strict",), strict)):
        ended = cli("run", sweep, "--out", results, *options)
        assert ended.exit_code == code, "stored cells count as those measured now"
        assert ended.stderr == (f"{2 - len(crashing)} of 2 cells ok\n" if code else "")
    assert len(executor.measured) == 2


def test_cells_of_other_sweeps_in_the_file_do_not_count(
    cli: RunCli, script: Script, sweep: Path, results: Path
) -> None:
    script(failing("bp"))
    assert cli("run", sweep, "--out", results).exit_code == 0
    assert cli("run", sweep, "--out", results, "--set", "method=bp").exit_code == 1
    assert cli("run", sweep, "--out", results, "--set", "method=sid-streamed", "--strict").exit_code == 0


def test_a_cell_that_is_ok_at_last_is_ok(cli: RunCli, script: Script, sweep: Path, results: Path) -> None:
    script(failing("bp", "sid-streamed"))
    assert cli("run", sweep, "--out", results).exit_code == 1
    script(failing("bp"))
    assert cli("run", sweep, "--out", results, "--retry-failed").exit_code == 0
    assert cli("run", sweep, "--out", results, "--retry-failed", "--strict").exit_code == 1
    script(failing())
    assert cli("run", sweep, "--out", results, "--retry-failed", "--strict").exit_code == 0


def test_a_skipped_cell_is_not_ok(cli: RunCli, script: Script, sweep: Path, results: Path) -> None:
    script(lambda _: Answer(status="oom", message="out of memory"))
    ended = cli("run", sweep, "--out", results, "--set", "method=bp", "--set", "batch_size=8,16")
    assert "1 oom, 1 skipped" in ended.stdout
    assert ended.exit_code == 1


def test_every_page_of_help_says_what_the_codes_mean(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (("--help",), ("run", "--help"), ("repeat", "--help")):
        assert "Exit codes: 0 done; 1 done, but" in cli(*arguments).stdout
