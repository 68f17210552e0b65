"""The page: its contents, its escaping, and its errors."""

import base64
import re
from pathlib import Path

import pytest
from record_builder import make_record
from typer.testing import CliRunner

from bench.analysis.frame import records_frame
from bench.errors import StoreError
from bench.report import write_report
from bench.report.page import draw_figures, to_markdown
from bench.report.tables.accuracy import accuracy_table
from bench.store.record import Record

HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(made_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page and its figures."""
    folder = tmp_path_factory.mktemp("page")
    write_report([made_file], folder / "page.html", folder / "figures")
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "page.html").read_text()


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """A results file with the bytes of one cell."""
    path = tmp_path / "small.jsonl"
    path.write_text(make_record({"passes": ["memory"]}, 1000).line() + "\n")
    return path


def test_every_figure_has_its_data_and_a_text_alternative(page: str) -> None:
    names = re.findall(r'<h3 id="([a-z-]+)">', page)
    assert names == [
        "memory-against-depth",
        "memory-against-batch-size",
        "memory-against-modules",
        "latency-against-depth",
        "latency-against-batch-size",
        "latency-against-modules",
        "memory-against-latency",
        "accuracy-against-noise",
        "chosen-accuracy-against-noise",
        "kl-by-module",
        "live-bytes-cascade-linear",
    ]
    assert page.count("<svg") == page.count('role="img"') == page.count("Data of the figure") == len(names)
    assert all(len(text) > 40 for text in re.findall(r'role="img" aria-label="([^"]+)"', page))


def test_the_data_of_a_memory_figure_shows_exact_bytes(page: str) -> None:
    section = page[page.index('id="memory-against-depth"') : page.index('id="memory-against-batch-size"')]
    for size in (1000 * 4 * 32, 1103 * 16 * 32, 100 * 32):
        assert f">{size:,}</td>" in section


def test_identifiers_are_unique_across_figures(page: str) -> None:
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    references = set(re.findall(r'(?:url\(#|href="#)([^")]+)', page))
    assert references <= set(identifiers)


def test_the_page_loads_no_external_resource(page: str) -> None:
    for address in re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page):
        assert address.startswith(("#", "data:")), address


def test_the_page_contains_the_records_for_download(page: str, made_file: Path) -> None:
    encoded = re.search(r'download="records.jsonl" href="data:application/jsonl;base64,([^"]+)"', page)
    assert encoded is not None
    assert base64.b64decode(encoded[1]).decode() == made_file.read_text()


def test_text_from_records_is_escaped(tmp_path: Path) -> None:
    record: Record = make_record(
        {"passes": ["memory"]}, status="crashed", message=HOSTILE, suite=HOSTILE, environment={HOSTILE: HOSTILE}
    )
    file = tmp_path / "hostile.jsonl"
    file.write_text(record.line() + "\n")
    write_report([file], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_each_number_of_threads_is_a_separate_series(tmp_path: Path) -> None:
    lines = []
    for count in (1, 2, None):
        for depth in (2, 4):
            cell = {"passes": ["memory", "latency"], "depth": depth, "threads": count}
            lines.append(make_record(cell, 1000 * depth, (1.0, 0.9, 1.1)).line())
    (tmp_path / "threads.jsonl").write_text("\n".join(lines) + "\n")
    write_report([tmp_path / "threads.jsonl"], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    for name in ("bp threads 1", "bp threads 2", "bp threads unset"):
        assert f">{name}</td>" in html


def test_method_names_with_markup_are_escaped_in_figures(made_records: list[Record], tmp_path: Path) -> None:
    lines = []
    for record in made_records:
        if record.cell.method == "sid-streamed":
            cell = record.cell.model_copy(update={"method": "<b>$x_1$ & co"})
            record = record.model_copy(update={"cell": cell, "id": cell.id})
        lines.append(record.line() + "\n")
    (tmp_path / "strange.jsonl").write_text("".join(lines))
    write_report([tmp_path / "strange.jsonl"], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "<b>" not in html
    assert "&lt;b&gt;$x_1$ &amp; co" in html


def test_a_report_of_failures_only_is_a_page_without_figures(tmp_path: Path) -> None:
    record: Record = make_record({"passes": ["memory"]}, status="timeout", message="no result within 1 s")
    (tmp_path / "failed.jsonl").write_text(record.line() + "\n")
    write_report([tmp_path / "failed.jsonl"], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "No cell has a result" in html
    assert "no result within 1 s" in html
    assert "<svg" not in html


def test_of_records_in_several_files_the_latest_of_a_cell_is_used(small_file: Path, tmp_path: Path) -> None:
    later: Record = make_record({"passes": ["memory"]}, 77 * 2**20, created="2026-02-01T00:00:00+00:00")
    (tmp_path / "later.jsonl").write_text(later.line() + "\n")
    for order in ([small_file, tmp_path / "later.jsonl"], [tmp_path / "later.jsonl", small_file]):
        summary = write_report(order, tmp_path / "page.html").summary
        (row,) = summary.to_dict("records")
        assert row["peak activations, MiB"] == "77.0"
    assert "1 records were left out" in (tmp_path / "page.html").read_text()


def test_the_page_reports_an_incomplete_last_line(small_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_text(small_file.read_text() + small_file.read_text()[:-20])
    write_report([cut], tmp_path / "page.html")
    assert "is incomplete and was left out" in (tmp_path / "page.html").read_text()


def test_a_file_without_records_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(StoreError, match="nothing to report"):
        write_report([tmp_path / "empty.jsonl"], tmp_path / "page.html")
    with pytest.raises(StoreError, match="cannot read"):
        write_report([tmp_path / "none.jsonl"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_an_error(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        write_report([small_file], tmp_path / "file" / "page.html")


def test_the_report_command_prints_the_summary_and_writes_all_files(made_file: Path, tmp_path: Path) -> None:
    from bench.cli.app import app

    arguments = ["report", str(made_file), "--out", str(tmp_path / "page.html")]
    extras = ["--figures", str(tmp_path / "figures"), "--markdown", str(tmp_path / "table.md")]
    result = CliRunner().invoke(app, [*arguments, *extras])
    assert result.exit_code == 0
    assert str(tmp_path / "page.html") in result.output
    assert "sid-streamed" in result.output
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 11
    assert (tmp_path / "table.md").read_text().startswith("| network | layout | cell | method |")


def test_the_same_records_give_the_same_figures(made_file: Path, folder: Path, tmp_path: Path) -> None:
    write_report([made_file], tmp_path / "page.html", tmp_path)
    first = list((folder / "figures").iterdir())
    assert first
    for figure in first:
        assert figure.read_text() == (tmp_path / figure.name).read_text()


def test_markdown_escapes_vertical_bars(small_file: Path, tmp_path: Path) -> None:
    summary = write_report([small_file], tmp_path / "page.html").summary
    summary["method"] = "a|b"
    assert "a\\|b" in to_markdown(summary)


def test_the_page_reports_records_in_which_the_memory_instruments_disagree(tmp_path: Path, page: str) -> None:
    assert "differs from the exact count" not in page
    cells = [{"method": "bp", "depth": depth, "passes": ["memory"]} for depth in (2, 4, 8)]
    records = [make_record(cell, 1000, disagreement=share) for cell, share in zip(cells, (0, 0.02, -0.3), strict=True)]
    results = tmp_path / "results.jsonl"
    results.write_text("".join(f"{record.line()}\n" for record in records))
    write_report([results], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert (
        "In 2 records, the allocator&#39;s count without workspaces differs from the exact count by more than 1 %"
        in text
    )
    assert "differs by +2.0 %" in text
    assert "differs by -30.0 %" in text
    assert text.count(">agrees<") == 1


def test_the_text_alternative_of_live_bytes_states_the_peak(page: str) -> None:
    section = page[page.index('id="live-bytes-cascade-linear"') :]
    assert "operators run" in section
    size = 1000 * 64 * 512
    assert f"bp: peak {size / 2**20:.1f} MiB (activations, trunk 0.000, activations, modules" in section
    assert f">{size - size // 4}</td>" in section


def test_sections_of_traces_and_ranks_are_absent_without_data(page: str) -> None:
    assert 'id="schedule"' not in page
    assert 'id="ranks"' not in page


def test_accuracies_of_two_networks_have_two_panels() -> None:
    cells = [
        {"network": network, "method": method, "modules": 5, "depth": 5, "noise_rate": rate, "passes": ["accuracy"]}
        for network in ("cascade-linear", "pipeline-conv")
        for method in ("bp", "sid-streamed")
        for rate in (0.0, 0.4)
    ]
    frame = records_frame([make_record(cell, accuracy=0.9) for cell in cells])
    figures = {figure.name: figure for figure in draw_figures(frame)}
    shown = figures["accuracy-against-noise"]
    assert shown.data["where"].nunique() == 2
    assert shown.svg.count("cascade-linear on digits") == shown.svg.count("pipeline-conv on digits") == 1
    assert figures["kl-by-module"].data["where"].nunique() == 4
    assert accuracy_table(frame)["layout"].tolist() == ["cascade"] * 4 + ["pipeline"] * 4


@pytest.mark.parametrize(
    ("networks", "are_explained"), [(["cascade-linear", "pipeline-conv"], True), (["cascade-linear"], False)]
)
def test_the_page_explains_the_layouts_if_both_occur(networks: list[str], are_explained: bool, tmp_path: Path) -> None:
    records = [make_record({"network": network, "passes": ["memory"]}, 1000) for network in networks]
    (tmp_path / "two.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    summary = write_report([tmp_path / "two.jsonl"], tmp_path / "page.html").summary
    assert summary["layout"].tolist() == [network.partition("-")[0] for network in networks]
    assert ("The records contain two layouts" in (tmp_path / "page.html").read_text()) == are_explained
