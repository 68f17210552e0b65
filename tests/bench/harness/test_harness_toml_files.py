"""Files in TOML that a user writes: with a byte order mark, and damaged in ways that each command must name."""

from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import write_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.config.toml_file import read_toml
from bench.errors import ConfigError

DAMAGED = [
    (b"a = [1", "is not a TOML file"),
    (b"a = " + 5000 * b"9", "is not a TOML file"),
    (b"a = " + 5000 * b"[", "is not a TOML file"),
    ("a = 1".encode("utf-16"), "cannot read .*: it is not a text in UTF-8"),
]
COMMANDS = [
    ("run", "{file}", "--dry-run"),
    ("claims", "{results}", "--claims", "{file}"),
    ("compare", "{results}", "{results}", "--thresholds", "{file}"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_command_names_a_damaged_file(
    cli: RunCli, tmp_path: Path, command: tuple[str, ...], content: bytes, message: str
) -> None:
    file, results = tmp_path / "own.toml", tmp_path / "results.jsonl"
    file.write_bytes(content)
    results.write_text("")
    ended = cli(*(word.format(file=file, results=results) for word in command))
    assert ended.exit_code == 2, ended.output
    assert isinstance(ended.exception, SystemExit)
    with pytest.raises(ConfigError, match=f"{message}"):
        read_toml(file, str(file))
    assert str(file) in ended.stderr.replace("\n", "")


def test_a_suite_with_a_byte_order_mark_has_the_cells_of_one_without(cli: RunCli, tmp_path: Path) -> None:
    plain = write_sweep(tmp_path / "plain.toml", method="bp")
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    first, second = (cli("run", file, "--dry-run") for file in (plain, marked))
    assert first.exit_code == second.exit_code == 0, second.output
    assert first.stdout == second.stdout
    assert first.stdout.endswith("\n1 cell\n")


@given(value=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20), marked=st.booleans())
def test_a_mark_is_no_part_of_the_content(tmp_path_factory: pytest.TempPathFactory, value: str, marked: bool) -> None:
    file = tmp_path_factory.getbasetemp() / "value.toml"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    file.write_text(f'text = "{quoted}"', encoding="utf-8-sig" if marked else "utf-8")
    assert read_toml(file, "it") == {"text": value}
