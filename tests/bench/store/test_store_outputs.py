"""Outputs of a command never replace its inputs, each other, or records, and are written at once or not at all."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from record_builder import make_record
from typer.testing import CliRunner

from bench.cli.app import app
from bench.errors import StoreError
from bench.store.file import read_records
from bench.store.text_file import refuse_overlaps, write_text

GRID = '[[grid]]\nmethod = "bp"\ndataset = "random"\ndepth = 2\nmodules = 2\npasses = ["memory"]\n'


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A results file with two records, in a folder of its own."""
    path = tmp_path / "records" / "mine.jsonl"
    path.parent.mkdir()
    path.write_text("".join(f"{make_record({'seed': seed}, memory=1000).line()}\n" for seed in (0, 1)))
    return path


def as_itself(path: Path, _folder: Path) -> str:
    return str(path)


def through_dots(path: Path, _folder: Path) -> str:
    return f"{path.parent}/../{path.parent.name}/./{path.name}"


def relative(path: Path, _folder: Path) -> str:
    return os.path.relpath(path)


def symbolic_link(path: Path, folder: Path) -> str:
    (folder / "symbolic").symlink_to(path)
    return str(folder / "symbolic")


def link_to_its_folder(path: Path, folder: Path) -> str:
    (folder / "folder").symlink_to(path.parent)
    return str(folder / "folder" / path.name)


def hard_link(path: Path, folder: Path) -> str:
    (folder / "hard").hardlink_to(path)
    return str(folder / "hard")


SPELLINGS = [as_itself, through_dots, relative, symbolic_link, link_to_its_folder, hard_link]
Spelling = Callable[[Path, Path], str]


def assert_refused(arguments: list[object], word: str = "would replace") -> None:
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 2, (ended.stdout, ended.stderr, ended.exception)
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def files_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("option", "spelling"),
    [
        *(("--out", spelling) for spelling in SPELLINGS),
        *(  # one function compares the files of all options
            pytest.param("--markdown", spelling, marks=[] if spelling in (as_itself, hard_link) else pytest.mark.slow)
            for spelling in SPELLINGS
        ),
    ],
)
@pytest.mark.long
def test_a_report_never_replaces_the_records_it_reads(
    records: Path, tmp_path: Path, option: str, spelling: Spelling
) -> None:
    target = spelling(records, tmp_path)
    before = files_in(tmp_path)
    page = [] if option == "--out" else ["--out", tmp_path / "page.html"]
    assert_refused(["report", records, option, target, *page])
    assert files_in(tmp_path) == before


def test_the_default_page_never_replaces_the_records(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    mine = (tmp_path / "reports" / "mine.html").resolve()
    records.rename(mine)
    before = mine.read_bytes()
    assert_refused(["report", "reports/mine.html"])
    assert mine.read_bytes() == before


@pytest.mark.long
def test_a_figure_never_replaces_the_records(records: Path, tmp_path: Path) -> None:
    other = {"method": "sid-streamed", "depth": 8}
    lines = [make_record({"depth": depth}, memory=1000 * depth).line() for depth in (4, 8)]
    lines.append(make_record(other, memory=500).line())
    records.write_text("\n".join(lines) + "\n")
    arguments = ["report", records, "--out", tmp_path / "page.html", "--figures", records.parent]
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    figure = next(records.parent.glob("*.svg"))
    records.replace(figure)
    before = files_in(tmp_path)
    assert_refused(["report", figure, *arguments[2:]])
    assert_refused(["report", figure, "--figures", records.parent, "--out", tmp_path / "new.html"])
    assert files_in(tmp_path) == before


@pytest.mark.long
def test_two_outputs_are_never_one_file(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "dangling.html").symlink_to(tmp_path / "page.html")
    before = files_in(tmp_path)
    for other in ("page.html", "./page.html", "folder/page.html", "dangling.html"):
        assert_refused(["report", records, "--out", "page.html", "--markdown", other])
        assert files_in(tmp_path) == before
    (tmp_path / "page.html").write_text("old")
    assert_refused(["report", records, "--out", "page.html", "--markdown", "dangling.html"])


def test_other_records_are_never_replaced_either(records: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(records.read_bytes())
    before = files_in(tmp_path)
    assert_refused(["report", records, "--out", other], "records would be lost")
    assert files_in(tmp_path) == before


def in_another_order(content: bytes) -> bytes:
    """The records with ``schema`` as their last key, and spaces between keys."""
    return "".join(
        f"{json.dumps(dict(reversed(json.loads(line).items())))}\n" for line in content.splitlines()
    ).encode()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, id="byte order mark"),
        pytest.param(lambda content: b"\n \r\n" + content, id="blank lines"),
        pytest.param(lambda content: b"  " + content, id="indented"),
        pytest.param(in_another_order, id="other order"),
    ],
)
def test_records_that_an_editor_has_changed_are_never_replaced(
    records: Path, edit: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    records.write_bytes(edit(records.read_bytes()))
    before = records.read_bytes()
    assert len(read_records(records).records) == 2
    other = tmp_path / "other.jsonl"
    other.write_text(make_record({}, memory=1000).line())
    assert_refused(["claims", other, "--markdown", records], "records would be lost")
    assert records.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"{", b"{}", b'{"a": 1}\n', b"[1]", b"{" * 100_000, b"\xef\xbb\xbf# A\n"]
)
def test_a_file_without_records_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_bytes(content)
    write_text(tmp_path / "page.md", "new")
    assert (tmp_path / "page.md").read_text() == "new"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_suite_is_never_replaced(tmp_path: Path, command: str, spelling: Spelling) -> None:
    suite = tmp_path / "suites" / "mine.toml"
    suite.parent.mkdir()
    suite.write_text(GRID)
    target = spelling(suite, tmp_path)
    before = files_in(tmp_path)
    assert_refused([command, suite, "--out", target])
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_file_that_a_cell_names_is_never_replaced(tmp_path: Path, command: str) -> None:
    network = tmp_path / "my_network.py"
    network.write_text("from torch import nn\n\ndef units(shape):\n    return [nn.Flatten(), nn.Linear(64, 8)]\n")
    before = network.read_bytes()
    assert_refused([command, "--set", f"network={network}:units", "--set", "method=bp", "--out", network])
    assert network.read_bytes() == before


def test_the_outputs_of_a_plan_are_never_one_file(tmp_path: Path) -> None:
    both = tmp_path / "both.svg"
    assert_refused(["plan", "smoke", "--budget", "1GiB", "--out", both, "--figure", both])
    assert not both.exists()


def test_a_suite_that_comes_with_the_package_is_never_replaced() -> None:
    suite = Path(__file__).parents[3] / "bench" / "config" / "suites" / "smoke.toml"
    before = suite.read_bytes()
    assert_refused(["plan", "smoke", "--out", suite])
    assert suite.read_bytes() == before


@pytest.mark.parametrize("kind", ["page", "suite", "folder", "device", "pipe"])
def test_a_run_appends_to_results_files_only(tmp_path: Path, kind: str) -> None:
    suite, target = tmp_path / "mine.toml", tmp_path / "target"
    suite.write_text(GRID)
    if kind == "page":
        target.write_text("<!doctype html>\n<html></html>\n")
    elif kind == "suite":
        target.write_text(GRID)
    elif kind == "folder":
        target.mkdir()
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target = Path("/dev/full")
    before = target.read_bytes() if target.is_file() else None
    assert_refused(["run", suite, "--out", target], str(target))
    assert (target.read_bytes() if target.is_file() else None) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"mine.toml", target.name} - {"full"})


def test_devices_may_be_given_twice() -> None:
    null = Path("/dev/null")
    refuse_overlaps([("--out", null), ("--markdown", null)], [Path("mine.jsonl")])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_and_links_stay(tmp_path: Path, mode: int) -> None:
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("old, and longer than the new one")
    page.chmod(mode)
    link.symlink_to("page.html")
    write_text(link, "new")
    assert link.is_symlink()
    assert page.read_text() == "new"
    assert stat.S_IMODE(page.stat().st_mode) == mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "page.html", "new")
    (tmp_path / "usual").touch()
    assert (tmp_path / "a" / "page.html").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_to_a_file_that_does_not_exist_yet_makes_that_file(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    write_text(tmp_path / "link.html", "new")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*page\.html: No space left"):
        write_text(page, "new")
    assert files_in(tmp_path) == {page: b"old"}


@pytest.mark.parametrize("reason", [errno.EBUSY, errno.EACCES, errno.EXDEV])
def test_a_file_that_cannot_be_renamed_to_is_written_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """As a file that is mounted by itself into a container, or one in a folder that takes no new files."""
    page = tmp_path / "page.html"
    page.write_text("old")

    def busy(_source: Path, _target: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(Path, "replace", busy)
    write_text(page, "new")
    assert files_in(tmp_path) == {page: b"new"}
    with pytest.raises(StoreError, match=os.strerror(reason)):
        write_text(tmp_path / "new.html", "new")
    assert files_in(tmp_path) == {page: b"new"}


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may write to any file
    with pytest.raises(StoreError, match="Permission denied"):
        write_text(page, "new")
    assert files_in(tmp_path) == {page: b"old"}


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "new")
    reader.join(timeout=10)
    assert read == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("device", ["/dev/full"])
def test_a_full_device_is_an_error(device: str) -> None:
    with pytest.raises(StoreError, match=f"cannot write {device}: No space left"):
        write_text(Path(device), "new")


WRITE_TO_STDOUT = """
import pathlib
from bench.store.file import read_records
from bench.store.text_file import write_text

print("before")
write_text(pathlib.Path("/dev/stdout"), "the page\\n")
print("after")
"""


@pytest.mark.parametrize("is_file", [True, False])
def test_standard_output_gets_the_text_in_its_place(tmp_path: Path, is_file: bool) -> None:
    with (tmp_path / "log").open("w") as log:
        ended = subprocess.run(
            [sys.executable, "-c", WRITE_TO_STDOUT], stdout=log if is_file else subprocess.PIPE, check=True
        )
    output = (tmp_path / "log").read_bytes() if is_file else ended.stdout
    assert output == b"before\nthe page\nafter\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
