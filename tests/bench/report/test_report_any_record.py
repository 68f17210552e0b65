"""Every legal record gives a page, and figures do not depend on matplotlib's configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_reader import records_in_page
from record_builder import made_data, make_record
from typer.testing import CliRunner

from bench.cli.app import app
from bench.report import write_report
from bench.store.record import Record

SEVERAL = st.integers(1, 2)
WRITE_FIGURES = """
import pathlib, sys
from bench.report import write_report

results, folder = map(pathlib.Path, sys.argv[1:])
write_report([results], folder / "page.html", folder)
"""


def page_of(records: list[Record], folder: Path) -> str:
    results = folder / "results.jsonl"
    results.write_text("".join(f"{record.line()}\n" for record in records))
    write_report([results], folder / "page.html")
    return (folder / "page.html").read_text()


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    """A record of a small cell with any of the three parts, or a failure."""
    modules = draw(SEVERAL)
    cell = {
        "method": draw(st.sampled_from(["bp", "sid-streamed"])),
        "network": draw(st.sampled_from(["cascade-linear", "cascade-conv"])),
        "modules": modules,
        "depth": modules * draw(SEVERAL),
        "noise_rate": draw(st.sampled_from([0.0, 0.4])),
        "epochs": draw(SEVERAL),
        "seed": draw(SEVERAL),
    }
    if draw(st.booleans()):
        return make_record(cell, status="crashed", message="exit code 1")
    size = draw(st.none() | st.integers(0, 2**40))
    ratio = draw(st.none() | st.floats(0.01, 100))
    accuracy = draw(st.none() | st.floats(0, 1))
    return make_record(
        cell,
        memory=size,
        latency=None if ratio is None else (ratio, ratio, ratio),
        accuracy=accuracy,
        kl=draw(st.none() | st.lists(st.none() | st.floats(0, 1e30), min_size=modules, max_size=modules)),
        by_epoch=[] if accuracy is None else [accuracy] * draw(st.integers(1, 3)),
        data=draw(st.none() | st.just(made_data(8))),
    )


@settings(deadline=None, derandomize=True, max_examples=12)
@given(st.lists(any_record(), min_size=1, max_size=8, unique_by=lambda record: record.id))
@pytest.mark.long
def test_any_records_give_a_page(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    folder = tmp_path_factory.mktemp("any")
    page_of(records, folder)
    assert records_in_page(folder / "page.html") == [json.loads(record.line()) for record in records]


@pytest.mark.parametrize("accuracy", [5 / 9, 1 / 3, 0.1, 1.0])
@pytest.mark.long
def test_seeds_with_equal_accuracies_are_drawn(accuracy: float, tmp_path: Path) -> None:
    """The mean of equal numbers can differ from them by rounding, which must not give a negative error bar."""
    cells = [
        {"seed": seed, "noise_rate": rate, "epochs": 2, "passes": ["accuracy"]}
        for seed in range(3)
        for rate in (0.0, 0.4)
    ]
    assert "<svg" in page_of(
        [make_record(cell, accuracy=accuracy, by_epoch=[accuracy] * 2) for cell in cells], tmp_path
    )


@pytest.mark.long
@pytest.mark.parametrize("name", [r"a$\foo$b $x_1$", "50 % {} _^ a <b> & 'c'"])
def test_names_of_data_sets_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    cells: list[dict[str, Any]] = [
        {"dataset": f"image-folder:{name}", "depth": depth, "noise_rate": rate}
        for depth in (2, 4)
        for rate in (0.0, 0.4)
    ]
    page = page_of([make_record(cell, 1000, (1, 0.9, 1.1), accuracy=0.5) for cell in cells], tmp_path)
    drawn = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"image-folder:{drawn}" in page.replace("&#39;", "'")


@pytest.mark.long
@pytest.mark.parametrize("status", ["oom", "crashed", "timeout", "skipped"])
def test_the_command_reports_records_without_a_result(status: str, tmp_path: Path) -> None:
    (tmp_path / "failed.jsonl").write_text(make_record({}, status=status, message="why").line() + "\n")
    arguments = ["report", str(tmp_path / "failed.jsonl"), "--out", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, [*arguments, "--markdown", str(tmp_path / "table.md")])
    assert result.exit_code == 0, result.output
    assert "No cell has a result" in (tmp_path / "page.html").read_text()
    assert "There is nothing to compare with BP." in (tmp_path / "table.md").read_text()


def test_a_page_without_bp_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    record = make_record({"method": "sid-streamed", "passes": ["memory"]}, 1000)
    assert "no measurement of BP to compare with" in page_of([record], tmp_path)


@pytest.mark.long
def test_a_method_without_bps_memory_has_no_ratio_in_the_summary(tmp_path: Path) -> None:
    records = [make_record({"method": "bp"}, latency=(1, 0.9, 1.1)), make_record({"method": "sid-streamed"}, 1000)]
    page = page_of(records, tmp_path)
    assert ">nan<" not in page
    assert "not measured" in page


@pytest.mark.long
def test_figures_do_not_depend_on_the_users_configuration(made_file: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\ntext.usetex: True\naxes.grid: False\n")
    configured = os.environ | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": "tkagg", "DISPLAY": ""}
    for folder in ("plain", "configured"):
        (tmp_path / folder).mkdir()
    command = [sys.executable, "-c", WRITE_FIGURES, str(made_file), str(tmp_path / "configured")]
    subprocess.run(command, env=configured, check=True, timeout=200)
    write_report([made_file], tmp_path / "plain" / "page.html", tmp_path / "plain")
    drawn = sorted((tmp_path / "plain").glob("*.svg"))
    assert drawn
    for figure in drawn:
        assert figure.read_text() == (tmp_path / "configured" / figure.name).read_text()
