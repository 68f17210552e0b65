"""The page in headless Chromium, controlled by playwright."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from typer.testing import CliRunner

from bench.cli.app import app
from bench.config.cell import Cell
from bench.store.file import read_records
from bench.store.record import Record

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install it, or name it in the variable CHROMIUM"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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
        batch_size = [8, 64]
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


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(offline=True, accept_downloads=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    yield page
    context.close()


def test_the_page_opens_offline_without_errors_or_requests(page: Page, page_file: Path) -> None:
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri(), wait_until="networkidle")
    assert problems == []
    assert requests == [page_file.as_uri()]


def test_every_figure_is_drawn_with_marks_and_text(page: Page, page_file: Path) -> None:
    page.goto(page_file.as_uri())
    figures = page.locator("figure svg")
    assert figures.count() == 13
    for index in range(figures.count()):
        figure = figures.nth(index)
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 150
        drawn = figure.evaluate(
            "svg => [...svg.querySelectorAll('use, path')].filter(e => e.getBBox().width > 0).length"
        )
        assert drawn > 10
        assert figure.locator("text").count() > 5


def test_module_schedules_have_lanes_and_ranks_have_a_section(page: Page, page_file: Path) -> None:
    page.goto(page_file.as_uri())
    lanes = page.locator("figure[aria-labelledby^='module-schedule'] svg")
    texts = [text.strip() for text in lanes.locator("text").all_text_contents()]
    for text in ("bp", "sid-streamed", "sid-streamed, 2 ranks", "rank 1: 4", "forward", "backward", "optimizer", "ms"):
        assert text in texts
    assert page.locator("#ranks").get_by_role("cell", name="0.70 [0.60, 0.80]").count() == 1
    assert page.locator("#schedule").get_by_role("cell", name="sid-streamed, 2 ranks").count() > 1


def test_the_page_does_not_scroll_sideways_on_a_phone(page: Page, page_file: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_records_download_as_they_were_stored(page: Page, page_file: Path, results: Path) -> None:
    page.goto(page_file.as_uri())
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the records").click()
    assert download.value.suggested_filename == "records.jsonl"
    assert Path(download.value.path()).read_bytes() == results.read_bytes()


def test_links_lead_to_sections_and_figures_have_text_alternatives(page: Page, page_file: Path) -> None:
    page.goto(page_file.as_uri())
    for link in page.locator("nav a").all():
        target = link.get_attribute("href")
        assert target is not None
        assert page.locator(target).count() == 1
    assert page.get_by_role("img").count() == 13
    for image in page.get_by_role("img").all():
        assert len(image.get_attribute("aria-label") or "") > 40
