"""The options of ``sid-bench report``: patterns, the title, a browser, and what stays on standard output."""

import json
import os
import re
import stat
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_reader import records_in_page, shown_text
from record_builder import made_data, make_record
from typer.testing import CliRunner

from bench.cli.app import app
from bench.report.data.block import MOST_INLINE


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three results files of one cell each in ``results``."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "results"
    folder.mkdir()
    for depth, name in enumerate(("b.jsonl", "a.jsonl", "[1].jsonl"), start=1):
        record = make_record({"depth": depth, "modules": 1, "passes": ["memory"]}, 1000 * depth)
        (folder / name).write_text(f"{record.line()}\n")
    return tmp_path


def report(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.mark.parametrize(
    ("given", "depths", "page"),
    [
        (["results/*.jsonl"], [3, 2, 1], "[1]"),
        (["results/?.jsonl"], [2, 1], "a"),
        (["results/b.jsonl", "results/?.jsonl"], [1, 2], "b"),
        (["**/b.jsonl"], [1], "b"),
        (["results/[1].jsonl"], [3], "[1]"),
        (["results/b.jsonl", "results/./b.jsonl"], [1], "b"),
    ],
)
@pytest.mark.long
def test_patterns_are_expanded_in_order_and_each_file_is_read_once(
    results: Path, given: list[str], depths: list[int], page: str
) -> None:
    result = report(*given, "-q")
    assert result.exit_code == 0, result.output
    assert [record["cell"]["depth"] for record in records_in_page(results / "reports" / f"{page}.html")] == depths
    assert "left out" not in result.stderr


@pytest.mark.parametrize("given", ["none/*.jsonl", "results/*.json", "results/[2-9].jsonl"])
def test_a_pattern_that_matches_nothing_is_refused(results: Path, given: str) -> None:
    result = report("results/b.jsonl", given)
    assert result.exit_code == 2
    assert f"no file matches {given!r}" in result.stderr
    assert not (results / "reports").exists()


@pytest.mark.usefixtures("results")
def test_claims_take_patterns_too() -> None:
    assert CliRunner().invoke(app, ["claims", "results/?.jsonl"]).exit_code == 0
    assert CliRunner().invoke(app, ["claims", "none/*.jsonl"]).exit_code == 2


def test_a_title_is_that_of_the_page(results: Path) -> None:
    assert report("results/b.jsonl", "--title", "Depth & <bytes>", "-q").exit_code == 0
    page = shown_text(results / "reports" / "b.html")
    assert "<title>Depth &amp; &lt;bytes&gt;</title>" in page
    assert "<h1>Depth &amp; &lt;bytes&gt;</h1>" in page
    refused = report("results/b.jsonl", "--title", " ")
    assert refused.exit_code == 2
    assert "--title ' '" in refused.stderr


@pytest.mark.parametrize("width", [40, 80])
def test_the_tables_are_whole_on_a_narrow_terminal_and_in_a_pipe(tmp_path: Path, width: int) -> None:
    right = {"bp": 100, "deep-supervision": 0}
    records = [
        make_record(
            {"method": method, "passes": ["accuracy"], "seed": seed},
            correct=np.arange(100) < (right[method] + 50 * seed) % 101,
            data=made_data(8, "a", 100),
        )
        for method, seed in product(right, range(3))
    ]
    (tmp_path / "many.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    arguments = ["report", str(tmp_path / "many.jsonl"), "--out", str(tmp_path / "page.html")]
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": str(width)})
    assert ended.exit_code == 0, ended.output
    assert "\N{HORIZONTAL ELLIPSIS}" not in ended.stdout
    assert "cascade-linear: digits, depth 4, modules 4, hidden 256, batch 128, adam, 10 epochs\n" in ended.stdout
    assert len(re.findall(r"\[-\d+\.\d, \+\d+\.\d\]", ended.stdout)) >= 2, "no interval is broken"
    assert "100 images)" in ended.stdout


def test_open_says_that_there_is_no_display(results: Path) -> None:
    result = report("results/b.jsonl", "--open", "-q")
    assert result.exit_code == 0
    assert (results / "reports" / "b.html").exists()
    if sys.platform == "linux":
        assert "the page was not opened: there is no display" in result.stderr


@pytest.mark.usefixtures("results")
@pytest.mark.long
def test_open_shows_the_page_in_the_browser_that_the_user_names(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    command = [sys.executable, "-m", "bench", "report", "results/b.jsonl", "--open", "--out", "a page.html"]
    environment = os.environ | {"BROWSER": f"{browser} %s", "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "a page.html").as_uri()


@pytest.mark.long
@pytest.mark.usefixtures("results")
def test_a_page_on_standard_output_stays_alone_and_whole(tmp_path: Path) -> None:
    """Standard output is a regular file here, which has a folder that raw samples could be written to."""
    cell = {"passes": ["accuracy"]}
    records = [make_record(cell | {"seed": seed}, accuracy=0.5) for seed in range(MOST_INLINE + 1)]
    (tmp_path / "many.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    command = [sys.executable, "-m", "bench", "report", "many.jsonl", "--out", "/dev/stdout"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    before = set(tmp_path.iterdir())
    with (tmp_path / "page.html").open("w") as page:
        refused = subprocess.run(
            [*command, "--open"], env=environment, stdout=page, stderr=subprocess.PIPE, check=False
        )
        assert refused.returncode == 2
        assert b"--open: /dev/stdout is no file" in refused.stderr
        subprocess.run(command, env=environment, stdout=page, stderr=subprocess.PIPE, timeout=200, check=True)
    assert (tmp_path / "page.html").read_text().rstrip().endswith("</html>")
    assert set(tmp_path.iterdir()) == before | {tmp_path / "page.html"}
    assert records_in_page(tmp_path / "page.html") == [json.loads(record.line()) for record in records]
