"""Cells that were measured again, and drift of BP, on the page and on the terminal."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import make_record
from typer.testing import CliRunner

from bench.analysis.again import measured_again
from bench.cli.app import app
from bench.report import write_report
from bench.report.tables.again import again_table
from bench.store.record import Record

WHY = "3 of 20 blocks ran while <b>threads</b> shared a core"
CELL = {"method": "sid-streamed", "passes": ["memory", "latency"]}


def measured(ratio: float, day: int, noisy: str | None = None, **fields: Any) -> Record:
    latency = (ratio, ratio - 0.1, ratio + 0.1)
    return make_record(CELL, 1000, latency, noisy_because=noisy, created=f"2026-01-0{day}T00:00:00+00:00", **fields)


FIRST, SECOND, LAST = measured(1.2, 1, WHY), measured(1.1, 2), measured(0.9, 3)
OTHER = make_record({"method": "bp", "passes": ["memory"]}, 5000)


def page_of(records: list[Record], folder: Path) -> str:
    (folder / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    write_report([folder / "file.jsonl"], folder / "page.html")
    return (folder / "page.html").read_text()


def test_the_first_and_the_last_result_of_a_cell_measured_again_are_shown() -> None:
    (row,) = again_table(measured_again([FIRST, OTHER, SECOND, LAST])).table.to_dict("records")
    assert row == {
        "cell": "sid-streamed cascade-linear digits depth 4 modules 4 hidden 256 batch 128 alpha 0.5 adam seed 0",
        "records": 3,
        "starts": 3,
        "first measured": "2026-01-01T00:00:00+00:00",
        "first result": f"latency / BP 1.20 [1.10, 1.30] (1 process) noisy: {WHY}; peak activation bytes 1,000",
        "last measured": "2026-01-03T00:00:00+00:00",
        "last result": "latency / BP 0.90 [0.80, 1.00] (1 process); peak activation bytes 1,000",
    }


def test_the_page_names_them_and_uses_the_last(tmp_path: Path) -> None:
    html = page_of([FIRST, LAST, OTHER], tmp_path)
    folded = re.search(r'<details id="again">.*?</details>', html, re.DOTALL)
    assert folded is not None
    assert "Measured again: 1 cell</summary>" in folded[0]
    assert "1.20 [1.10, 1.30] (1 process) noisy: 3 of 20 blocks ran while &lt;b&gt;threads&lt;/b&gt;" in folded[0]
    assert html.count("1.20 [") == folded[0].count("1.20 ["), "only the last result counts elsewhere"


def test_a_failure_that_was_measured_again_is_named_with_its_message() -> None:
    failed = make_record(CELL, status="oom", message="no memory")
    (row,) = again_table(measured_again([failed, LAST])).table.to_dict("records")
    assert row["first result"] == "oom; no memory"


def test_a_crash_that_was_started_again_at_once_is_named_with_its_reason() -> None:
    crashed = measured(0.9, 1, attempts=2, message="attempt 1 crashed: killed by signal 9")
    (row,) = again_table(measured_again([crashed])).table.to_dict("records")
    assert (row["records"], row["starts"], row["last result"]) == (1, 2, "the same record")
    assert row["first result"].endswith("; attempt 1 crashed: killed by signal 9")


@pytest.mark.parametrize("records", [[], [FIRST], [FIRST, OTHER], [FIRST, FIRST]], ids=len)
@pytest.mark.long
def test_cells_that_were_measured_once_are_not_named(records: list[Record], tmp_path: Path) -> None:
    assert measured_again(records) == []
    if records:
        html = page_of(records, tmp_path)
        assert "Measured again" not in html


def slow_in_the_second(method: str) -> Record:
    blocks = [np.full((4, 4), seconds) for seconds in (0.01, 0.02, 0.01)]
    cell = {"method": method, "passes": ["latency"], "processes": 3}
    return make_record(cell, latency=(1.0, 0.9, 1.1), blocks=blocks)


@pytest.mark.long
def test_drift_of_bp_is_on_the_page_and_at_the_end_of_the_terminal(tmp_path: Path) -> None:
    records = [slow_in_the_second(method) for method in ("bp", "sid-streamed")]
    html = page_of(records, tmp_path)
    sentence = "in process 2 of 3, a step of BP took 2.00 times the median over processes."
    assert html.count(sentence) == 1, "records that share BP's times count once"
    assert "BP's own step time differs in 1 place</summary>" in html
    command = ["report", str(tmp_path / "file.jsonl"), "--out", str(tmp_path / "page.html")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert shown.stderr.startswith("warning: cascade-linear digits depth 4")
    assert sentence in shown.stderr
    assert CliRunner().invoke(app, [*command, "--quiet"]).stderr == ""


@pytest.mark.long
def test_without_drift_there_is_no_section(made_file: Path, tmp_path: Path) -> None:
    write_report([made_file], tmp_path / "page.html")
    assert 'id="drift"' not in (tmp_path / "page.html").read_text()
