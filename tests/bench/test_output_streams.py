"""Standard output that cannot be written ends no command, and no sweep."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from record_builder import make_record

from bench.store.file import read_records

ROOT = Path(__file__).parents[2]
SUITE = """
[[grid]]
method = "bp"
dataset = "random"
depth = 2
modules = 2
width = 8
hidden = 8
batch_size = 8
passes = ["memory"]
seed = [0, 1]
"""
# The command line, with cells that are answered at once.
SWEEP = """
import sys
import bench.cli.measure
from bench.cli import main
from harness_tools import OK, ScriptedExecutor

bench.cli.measure.make_executor = lambda settings: ScriptedExecutor(lambda cell: OK)
sys.argv[0] = "sid-bench"
main()
"""
COMMAND = (
    f"import sys; sys.argv[0] = 'sid-bench'; sys.path.insert(0, {str(ROOT)!r}); from bench.cli import main; main()"
)
COMMANDS = ["list", "--help", "run mine.toml --dry-run"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(SUITE)
    (tmp_path / "mine.jsonl").write_text(make_record({}, memory=1000).line() + "\n")
    return tmp_path


def shell(line: str, folder: Path, code: str = COMMAND, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Runs ``line`` in bash, where ``sid-bench`` is the command line; a pipe fails where it does."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "bench", ROOT / "tests" / "bench" / "harness")))
    function = f'sid-bench() {{ "{sys.executable}" -c "$CODE" "$@"; }}; set -o pipefail; '
    variables: Mapping[str, str] = os.environ | {"CODE": code, "PYTHONPATH": path} | environment
    return subprocess.run(
        ["bash", "-c", function + line], cwd=folder, env=variables, capture_output=True, check=False, timeout=120
    )


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_goes_away_ends_a_command_quietly(folder: Path, command: str) -> None:
    ended = shell(f"sid-bench {command} | true", folder)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("command", [*COMMANDS, "doctor --json"])
@pytest.mark.long
def test_a_full_disk_is_an_error_in_one_line(folder: Path, command: str) -> None:
    ended = shell(f"sid-bench {command} > /dev/full", folder)
    assert ended.returncode == 2
    assert ended.stderr == b"error: cannot write standard output: No space left on device\n"


@pytest.mark.long
def test_files_are_written_all_the_same(folder: Path) -> None:
    ended = shell("sid-bench plan mine.toml --out plan.csv > /dev/full", folder)
    assert ended.returncode == 2
    assert ended.stderr == b"error: cannot write standard output: No space left on device\n"
    assert (folder / "plan.csv").read_text().count("\n") == 2, "memory does not depend on the seed"
    ended = shell("sid-bench report mine.jsonl --out page.html | true", folder)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (folder / "page.html").read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("output", "reason"), [("| true", b"Broken pipe"), ("--quiet > /dev/full", b"No space left on device")]
)
@pytest.mark.long
def test_a_sweep_goes_on_without_its_progress(folder: Path, output: str, reason: bytes) -> None:
    ended = shell(f"sid-bench run mine.toml --out results.jsonl {output}", folder, SWEEP)
    assert ended.returncode == 0
    note = b"standard output cannot be written (" + reason + b"); the sweep goes on and stores its records\n"
    assert ended.stderr == note
    assert [record.cell.seed for record in read_records(folder / "results.jsonl").records] == [0, 1]


def test_a_sweep_goes_on_where_nothing_can_be_written(folder: Path) -> None:
    ended = shell("sid-bench run mine.toml --out results.jsonl > /dev/full 2>&1", folder, SWEEP)
    assert ended.returncode == 0
    assert len(read_records(folder / "results.jsonl").records) == 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
@pytest.mark.long
def test_streams_that_are_closed_do_not_matter(folder: Path, closed: str) -> None:
    """No file gets the number of a closed stream, or what is printed would go into it."""
    ended = shell(f"sid-bench run mine.toml --out results.jsonl {closed}", folder, SWEEP)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(read_records(folder / "results.jsonl").records) == 2


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.long
@pytest.mark.parametrize("environment", ENCODINGS, ids=lambda names: " ".join(names))
def test_text_that_the_encoding_lacks_is_written_as_escapes(folder: Path, environment: dict[str, str]) -> None:
    ended = shell("sid-bench run mine.toml --out 'é 🙂.jsonl'", folder, SWEEP, **environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(read_records(folder / "é 🙂.jsonl").records) == 2


def test_an_error_with_text_that_the_encoding_lacks_is_told(folder: Path) -> None:
    ended = shell("sid-bench run mine.toml --only 'seed=é'", folder, **ENCODINGS[-1])
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"error: --only seed=")
    assert b"Traceback" not in ended.stderr


@pytest.mark.long
def test_a_page_on_standard_output_is_alone_there(folder: Path) -> None:
    ended = shell("sid-bench report mine.jsonl --out /dev/stdout > page.html", folder)
    assert ended.returncode == 0
    assert b"cascade-linear" in ended.stderr, "the table is elsewhere"
    page = (folder / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


@pytest.mark.long
def test_a_pipe_that_is_full_and_does_not_block_is_waited_for(folder: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [sys.executable, "-c", COMMAND, "report", "mine.jsonl", "--out", "/dev/stdout"]
    with subprocess.Popen(command, cwd=folder, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            page = pipe.read()
        assert process.wait(60) == 0
    assert page.rstrip().endswith(b"</html>")
