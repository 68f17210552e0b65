"""What commands say of a results file whose last line was cut, as a kill or a full disk leaves it."""

from pathlib import Path

import pytest
from record_builder import make_record
from typer.testing import CliRunner

from bench.cli.app import app

SMALL = "pipeline-linear --image-size 6 --set width=9 --set hidden=7 --set depth=4 --set recompute=none"
FIT = ["fit", *SMALL.split(), "--budget", "1MiB", "--batch-size", "16", "--methods", "bp", "--jobs", "1"]


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "cut.jsonl", "whole.jsonl"],
        ["compare", "whole.jsonl", "cut.jsonl:a suite"],
        ["compare", "cut.jsonl", "--by", "batch_size=8,16"],
        ["compare", "--pairs", "whole.jsonl", "cut.jsonl"],
        pytest.param([*FIT, "--results", "cut.jsonl"], marks=pytest.mark.long),
        ["claims", "cut.jsonl"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_a_cut_last_line_is_told(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell = {"dataset": "random", "passes": ["memory"]}
    records = [make_record(cell | {"batch_size": size}, 1000, suite="a suite") for size in (8, 16, 32)]
    lines = [f"{record.line()}\n" for record in records]
    Path("whole.jsonl").write_text("".join(lines))
    Path("cut.jsonl").write_text("".join(lines)[:-40])
    warning = "warning: Line 3 of cut.jsonl, the last one, is incomplete and was left out."
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert warning in shown.stderr
    assert "warning: " not in shown.stdout
    whole = CliRunner().invoke(app, [text.replace("cut.jsonl", "whole.jsonl") for text in command])
    assert "warning: " not in whole.stderr


def test_tracing_a_cell_of_a_cut_file_tells_that_one_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, last = (
        make_record({"dataset": "random", "passes": ["memory"], "batch_size": size}, 1000) for size in (8, 16)
    )
    Path("cut.jsonl").write_text(f"{first.line()}\n{last.line()}\n"[:-40])
    shown = CliRunner().invoke(app, ["trace", f"cut.jsonl#{last.id}"])
    assert shown.exit_code == 2, shown.output
    said = " ".join(shown.stderr.split())
    assert "warning: Line 2 of cut.jsonl, the last one, is incomplete and was left out." in said
    assert last.id in said
