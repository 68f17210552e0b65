"""The page of a real run in headless Chromium: every section, at every width, in light and dark, and printed."""

import json
from pathlib import Path

import pytest
from checks import AXE, WIDER, overlapping_texts, small_texts, violations
from chromium import MARKS, downloaded, opened
from playwright.sync_api import Browser
from typer.testing import CliRunner

from bench.cli.app import app
from bench.config.cell import Cell
from bench.store.file import read_records
from bench.store.record import Record

pytestmark = MARKS

# Of each view that is shown: its finding, its marks and the rows of its numbers.
FIGURES = """() => [...document.querySelectorAll('figure.figure')].map(figure => {
  const view = figure.querySelector('.view:not([hidden])');
  const seen = [...view.querySelectorAll('.wide, .narrow')].find(e => e.offsetParent !== null);
  const marks = new Set([...seen.querySelectorAll('[data-mark]')].map(e => e.dataset.mark));
  const text = view.querySelector('noscript.numbers').textContent;
  const rows = new DOMParser().parseFromString(text, 'text/html').querySelectorAll('tbody tr').length;
  return {name: view.id, finding: view.querySelector('.finding').textContent, marks: marks.size, rows,
    width: seen.querySelector('svg').getBoundingClientRect().width, texts: seen.querySelectorAll('text').length};
})"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a real run with two methods, two depths and two noise rates, and one record made on two ranks."""
    folder = tmp_path_factory.mktemp("results")
    suite = folder / "tiny.toml"
    suite.write_text(
        """
        [[grid]]
        method = ["bp", "sid-streamed"]
        depth = [2, 4]
        modules = [1, "depth"]
        width = 8
        hidden = 8
        batch_size = 8
        latency_seconds = 0.01
        passes = ["memory", "latency"]

        [[grid]]
        method = ["bp", "sid-streamed"]
        depth = 2
        width = 8
        hidden = 8
        epochs = 1
        noise_rate = [0, 0.4]
        seed = [0, 1]
        passes = ["accuracy"]
        """
    )
    path = folder / "tiny.jsonl"
    result = CliRunner().invoke(app, ["run", str(suite), "--out", str(path), "--quiet"])
    assert result.exit_code == 0, result.output
    records = list(read_records(path).records)
    traced = next(
        record
        for record in records
        if record.trace and (record.cell.method, record.cell.modules) == ("sid-streamed", 4)
    )
    path.write_text("".join(f"{record.line()}\n" for record in [*records, on_two_ranks(traced)]))
    return path


def on_two_ranks(record: Record) -> Record:
    """Return ``record`` as if its modules had run on two ranks, the second waiting for the first."""
    content = record.model_dump(mode="json", by_alias=True)
    content["cell"]["latency_seconds"] *= 2  # a results file holds each cell once
    content["id"] = Cell.model_validate(content["cell"]).id
    content["ranks"] = {
        "modules": [2, 2],
        "ratio_to_one_rank": 0.7,
        "ratio_to_one_rank_ci95": [0.6, 0.8],
        "bound": 0.6,
        "busy_share": [1.0, 0.75],
        "peak_activation_bytes": [2000, 1000],
        "peak_total_bytes": [4000, 3000],
    }
    content["trace"] = {
        "steps": 1,
        "rank": [0, 0, 0, 1, 1, 1],
        "module": [1, 2, None, None, 3, 4],
        "phase": "fbswfb",
        "start_seconds": [0.0, 0.1, 0.2, 0.0, 0.1, 0.2],
        "end_seconds": [0.1, 0.2, 0.4, 0.1, 0.2, 0.4],
    }
    return Record.parse(content)


@pytest.fixture(scope="module")
def page_file(results: Path) -> Path:
    path = results.with_suffix(".html")
    result = CliRunner().invoke(app, ["report", str(results), "--out", str(path), "--quiet"])
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (900, "light"), (1600, "dark")])
@pytest.mark.long
def test_it_opens_offline_without_requests_and_is_readable(
    browser: Browser, page_file: Path, width: int, scheme: str
) -> None:
    with opened(browser, None, width=width, color_scheme=scheme) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri(), wait_until="networkidle")
        assert requests == [page_file.as_uri()]
        assert not page.evaluate(WIDER)
        assert small_texts(page) == []
        for link in page.locator("nav a").all():
            assert page.locator(link.get_attribute("href") or "").count() == 1


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.long
def test_every_view_is_drawn_with_marks_and_a_finding(browser: Browser, page_file: Path, width: int) -> None:
    with opened(browser, page_file, width=width) as page:
        views = page.locator("[data-view]").evaluate_all(
            "all => all.map(e => [e.closest('figure').id, e.dataset.view]).reverse()"
        )
        assert len({figure for figure, _ in views}) >= 6
        for figure, view in views:
            page.evaluate("([figure, view]) => changeState({[`view.${figure}`]: view})", [figure, view])
            page.locator(f"[id='{figure}.{view}']").wait_for()
        for figure in page.evaluate(FIGURES):
            assert 20 < len(figure["finding"]) < 250, figure
            assert 0 < figure["marks"] <= figure["rows"], figure
            assert figure["width"] > 300, figure
            assert figure["texts"] > 3, figure


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: make lint installs it with npm")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_no_violations_of_accessibility(browser: Browser, page_file: Path, scheme: str) -> None:
    with opened(browser, page_file, color_scheme=scheme) as page:
        assert violations(page) == []


def test_printed_texts_do_not_overlap(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file, width=688) as page:
        page.emulate_media(media="print")
        assert overlapping_texts(page) == []
        assert not page.evaluate(WIDER)


def test_the_records_download_as_they_were_stored(browser: Browser, page_file: Path, results: Path) -> None:
    with opened(browser, page_file) as page:
        name, content = downloaded(page, "All records as JSONL")
        assert name == "tiny.jsonl"
        lines = results.read_text().splitlines()
        assert [json.loads(line) for line in content.decode().splitlines()] == [json.loads(line) for line in lines]


def test_a_mark_over_several_seeds_opens_the_cell_of_one_which_leads_to_the_others(
    browser: Browser, page_file: Path, results: Path
) -> None:
    seeds = {record.id: record.cell.seed for record in read_records(results).records}
    with opened(browser, page_file, width=1400) as page:
        page.locator("#accuracy-difference [data-mark='0']:visible").click()
        panel = page.get_by_role("dialog")
        panel.wait_for()
        opened_id = page.url.rpartition("cell=")[2]
        assert seeds[opened_id] == 0
        links = panel.locator(".seeds a")
        assert links.all_inner_texts() == ["0", "1"]
        assert panel.locator(".seeds [aria-current]").inner_text() == "0"
        links.last.click()
        panel.locator(".seeds [aria-current]").get_by_text("1", exact=True).wait_for()
        other_id = page.url.rpartition("cell=")[2]
        assert (seeds[other_id], other_id == opened_id) == (1, False)
