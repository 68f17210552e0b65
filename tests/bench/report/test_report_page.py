"""The page: its records, its files, its escaping, and its errors."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from page_reader import block_of, records_in_page, shown_text
from record_builder import make_record

from bench.errors import StoreError
from bench.report import write_report
from bench.report.data.block import MOST_INLINE
from bench.report.markdown import markdown_table
from bench.store.record import Record

HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(made_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page and its figures."""
    folder = tmp_path_factory.mktemp("page")
    write_report([made_file], folder / "page.html", folder / "figures")
    return folder


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """A results file with the bytes of one cell."""
    return write(tmp_path / "small.jsonl", make_record({"passes": ["memory"]}, 1000))


def write(path: Path, *records: Record) -> Path:
    path.write_text("".join(f"{record.line()}\n" for record in records))
    return path


def test_the_page_holds_its_records(folder: Path, made_file: Path) -> None:
    stored = [json.loads(line) for line in made_file.read_text().splitlines()]
    assert records_in_page(folder / "page.html") == stored


def test_identifiers_are_unique_and_links_lead_to_them(folder: Path) -> None:
    page = shown_text(folder / "page.html")
    identifiers = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [name for name, count in identifiers.items() if count > 1] == []
    links = set(re.findall(r'(?:url\(#|href="#)([^")]+)', page))
    cells = {link.removeprefix("cell=") for link in links if link.startswith("cell=")}
    assert cells <= {record["id"] for record in records_in_page(folder / "page.html")}
    assert {link for link in links if not link.startswith("cell=")} <= identifiers.keys()


def test_the_page_loads_nothing_from_elsewhere(folder: Path) -> None:
    page = (folder / "page.html").read_text()
    for address in re.findall(r'\b(?:src|href)\s*=\s*["\']([^"\']+)', shown_text(folder / "page.html")):
        assert address.startswith(("#", "data:")), address
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL))
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;', page)


def test_text_from_records_is_escaped(tmp_path: Path) -> None:
    record = make_record(
        {"passes": ["memory"]}, status="crashed", message=HOSTILE, suite=HOSTILE, environment={HOSTILE: HOSTILE}
    )
    write_report([write(tmp_path / "hostile.jsonl", record)], tmp_path / "page.html", title=HOSTILE)
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert "<img" not in shown_text(tmp_path / "page.html")
    assert "&lt;script&gt;" in page


@pytest.mark.long
def test_method_names_with_markup_are_escaped_in_figures(made_records: list[Record], tmp_path: Path) -> None:
    records = []
    for record in made_records:
        if record.cell.method == "sid-streamed":
            cell = record.cell.model_copy(update={"method": "<b>$x_1$ & co"})
            record = record.model_copy(update={"cell": cell, "id": cell.id})
        records.append(record)
    write_report([write(tmp_path / "strange.jsonl", *records)], tmp_path / "page.html")
    page = shown_text(tmp_path / "page.html")
    assert not re.search(r"<b>\$x", page)
    assert "&lt;b&gt;$x_1$ &amp; co" in page


def test_a_report_of_failures_only_is_a_page_without_figures(tmp_path: Path) -> None:
    record = make_record({"passes": ["memory"]}, status="timeout", message="no result within 1 s")
    write_report([write(tmp_path / "failed.jsonl", record)], tmp_path / "page.html")
    page = shown_text(tmp_path / "page.html")
    assert "no result within 1 s" in page
    assert "<svg" not in page


@pytest.mark.long
def test_of_records_in_several_files_the_latest_of_a_cell_is_used(small_file: Path, tmp_path: Path) -> None:
    later = make_record({"passes": ["memory"]}, 77 * 2**20, created="2026-02-01T00:00:00+00:00")
    write(tmp_path / "later.jsonl", later)
    for order in ([small_file, tmp_path / "later.jsonl"], [tmp_path / "later.jsonl", small_file]):
        warnings: list[str] = []
        write_report(order, tmp_path / "page.html", warn=warnings.append)
        assert records_in_page(tmp_path / "page.html") == [json.loads(later.line())]
        assert any("1 record was left out" in warning for warning in warnings)


def test_an_incomplete_last_line_is_reported(small_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_text(small_file.read_text() + small_file.read_text()[:-20])
    warnings: list[str] = []
    write_report([cut], tmp_path / "page.html", warn=warnings.append)
    assert any("is incomplete and was left out" in warning for warning in warnings)


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


@pytest.mark.long
def test_the_same_records_give_the_same_page_and_figures(made_file: Path, folder: Path, tmp_path: Path) -> None:
    write_report([made_file], tmp_path / "page.html", tmp_path / "figures")
    first = sorted((folder / "figures").iterdir())
    assert first
    for figure in first:
        assert figure.read_text() == (tmp_path / "figures" / figure.name).read_text()
    pages = [(place / "page.html").read_text() for place in (folder, tmp_path)]
    undated = [re.subn("page made [0-9T:+-]+", "", page) for page in pages]  # a minute may end between the two
    assert undated[0] == undated[1]
    assert undated[0][1] == 1


def test_a_folder_of_figures_holds_each_view_of_the_page(folder: Path) -> None:
    page = (folder / "page.html").read_text()
    files = {file.stem for file in (folder / "figures").iterdir()}
    figures = set(re.findall(r'<figure class="figure" id="([^"]+)"', page))
    assert len(figures) > 3
    assert all(any(file == figure or file.startswith(f"{figure}-") for file in files) for figure in figures)
    assert all(any(file == figure or file.startswith(f"{figure}-") for figure in figures) for file in files)


def test_steps_are_told_in_order(small_file: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    write_report([small_file], tmp_path / "page.html", progress=lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(len(steps)))
    assert {total for _, total, _ in steps} == {len(steps)}
    assert [name for _, _, name in steps][:: len(steps) - 1] == ["reading the records", "writing the page"]


def test_markdown_escapes_vertical_bars(small_file: Path, tmp_path: Path) -> None:
    summary = write_report([small_file], tmp_path / "page.html").summary
    summary["method"] = "a|b"
    assert "a\\|b" in markdown_table(list(summary.columns), summary.to_numpy().tolist())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results file with one record more than a page holds with its raw samples."""
    cell = {"passes": ["accuracy"]}
    records = [make_record(cell | {"seed": seed}, accuracy=0.5) for seed in range(MOST_INLINE + 1)]
    return write(tmp_path_factory.mktemp("many") / "many.jsonl", *records)


@pytest.mark.long
def test_raw_samples_of_many_records_stand_beside_the_page(many: Path, tmp_path: Path) -> None:
    write_report([many], tmp_path / "page of many.html")
    assert block_of(tmp_path / "page of many.html")["raw_file"] == "page of many.raw.js"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page of many.html", "page of many.raw.js"]
    stored = [json.loads(line) for line in many.read_text().splitlines()]
    assert records_in_page(tmp_path / "page of many.html") == stored


@pytest.mark.long
def test_the_raw_samples_replace_no_input(many: Path, tmp_path: Path) -> None:
    results = tmp_path / "page.raw.js"
    results.write_bytes(many.read_bytes())
    with pytest.raises(StoreError, match="would replace the input"):
        write_report([results], tmp_path / "page.html")
    with pytest.raises(StoreError, match="would replace the raw samples"):
        write_report([many], tmp_path / "other.html", markdown=tmp_path / "other.raw.js")
    assert results.read_bytes() == many.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["page.raw.js"]


@pytest.mark.long
def test_the_table_of_many_records_needs_the_script(many: Path, small_file: Path, tmp_path: Path) -> None:
    write_report([many], tmp_path / "many.html")
    assert "needs JavaScript. The records are in many.jsonl." in shown_text(tmp_path / "many.html")
    write_report([small_file], tmp_path / "small.html")
    plain = re.search(
        r"<noscript>\s*<div class=\"table\".*?</noscript>", (tmp_path / "small.html").read_text(), re.DOTALL
    )
    assert plain is not None
    assert "1,000" in plain[0]
