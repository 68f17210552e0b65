"""Benchmark of the report: seconds, bytes and elements of the page, beside what they may be."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from many_records import REFERENCE, write_many

from bench.report import write_report

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
MOST_ELEMENTS = 20_000


def measure(benchmark: Any, capsys: pytest.CaptureFixture[str], results: Path, page: Path) -> int:
    """Times a page of ``results``, prints what it is like, and returns its bytes."""
    benchmark.pedantic(write_report, args=([results], page), rounds=1)
    size = page.stat().st_size
    beside = page.with_name(f"{page.stem}.raw.js")
    raw = beside.stat().st_size if beside.exists() else 0
    elements = elements_of(page)
    seconds = benchmark.stats.stats.max
    with capsys.disabled():
        print(f"\n{results.name}: {seconds:.1f} s, {size:,} bytes, {raw:,} beside it, {elements} elements")
    benchmark.extra_info |= {"bytes": size, "raw_bytes": raw, "elements": elements}
    assert elements is None or elements < MOST_ELEMENTS
    return size


def elements_of(page: Path) -> int | None:
    """The number of elements of the page when it has started; None without a browser."""
    if CHROMIUM is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            view = browser.new_page()
            view.goto(page.as_uri())
            view.wait_for_selector("#all-cells *", state="attached")
            count: int = view.evaluate("document.querySelectorAll('*').length")
            return count
        finally:
            browser.close()


def test_the_page_of_the_suite_default(benchmark: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It may have 1 MB."""
    assert measure(benchmark, capsys, REFERENCE / "default.jsonl", tmp_path / "default.html") < 1_000_000


@pytest.mark.parametrize("records", [1_000, 10_000])
def test_a_page_of_many_records(
    benchmark: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, records: int
) -> None:
    """Of 10,000 records it may take 10 s on an idle machine, and have 15 MB."""
    write_many(tmp_path / "many.jsonl", records)
    assert measure(benchmark, capsys, tmp_path / "many.jsonl", tmp_path / "page.html") < 15_000_000
