"""A page of 10,000 records, and the file with their samples beside it."""

import http.server
import json
import shutil
import threading
import time
from functools import partial
from pathlib import Path

from chromium import MARKS, downloaded, opened
from playwright.sync_api import Browser, expect

pytestmark = MARKS

USABLE_SECONDS = 2  # what the page promises; a busy machine gets five times as long
MOST_NODES = 20_000
FIRST = "#cell=cell.0"


def test_the_page_is_usable_soon_and_holds_only_the_rows_that_are_seen(browser: Browser, many: Path) -> None:
    with opened(browser, None) as page:
        began = time.perf_counter()
        page.goto(many.as_uri())
        page.locator(".grid tbody a").first.wait_for()
        seconds = time.perf_counter() - began
        nodes = page.evaluate("document.querySelectorAll('*').length")
        print(f"10,000 records: usable after {seconds:.2f} s, {nodes} elements")
        assert seconds < 5 * USABLE_SECONDS
        assert nodes < MOST_NODES
        rows = page.locator(".grid tr[aria-rowindex]")
        page.locator(".grid").evaluate("e => e.scrollTop = e.scrollHeight")
        page.locator(".grid tr[aria-rowindex='10001']").wait_for()
        assert rows.count() < 100
        page.locator(".grid").evaluate("e => e.scrollTop = 0")
        page.locator(".grid tr[aria-rowindex='2'] a").focus()
        for _ in range(40):
            page.keyboard.press("ArrowDown")
        focused = page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')")
        assert focused == "42"
        began = time.perf_counter()
        page.get_by_role("searchbox", name="Find cells").fill("sid depth>=8")
        page.locator(".grid").get_by_role("button", name="step / BP").click()
        expect(page.get_by_text("of 10,000 records")).to_have_count(0)
        expect(page.locator("#cells .toolbar").get_by_text("of 10000 records")).to_have_text("1666 of 10000 records")
        print(f"10,000 records: found and sorted after {time.perf_counter() - began:.2f} s")
        assert time.perf_counter() - began < 5 * USABLE_SECONDS


def test_samples_are_loaded_when_a_cell_is_opened(browser: Browser, many: Path) -> None:
    with opened(browser, None) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(many.as_uri())
        page.locator(".grid tbody a").first.wait_for()
        assert requests == [many.as_uri()]
        page.locator(".grid tbody a").first.click()
        drawing = page.get_by_role("dialog").get_by_role("img", name="BP again: 2 values from 0.02 to 0.03")
        drawing.wait_for()
        assert requests == [many.as_uri(), many.with_name("many.raw.js").as_uri()]
        page.get_by_role("button", name="Next").click()
        drawing.wait_for()
        assert len(requests) == 2
        page.keyboard.press("Escape")
        _, content = downloaded(page, "All records as JSONL")
        lines = content.decode().splitlines()
        assert len(lines) == 10_000
        assert len(json.loads(lines[-1])["latency"]["blocks_seconds"]) == 2


def test_samples_are_loaded_from_a_server_too(browser: Browser, many: Path) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=many.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with opened(browser, None, offline=False) as page:
            page.goto(f"http://127.0.0.1:{server.server_port}/many.html{FIRST}")
            page.get_by_role("dialog").get_by_role("img").first.wait_for()
        server.shutdown()


def test_without_the_file_a_message_names_it_and_the_rest_is_shown(
    browser: Browser, many: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "moved #1 100%.html"
    shutil.copy(many, alone)
    with opened(browser, None, expected="ERR_FILE_NOT_FOUND") as page:
        page.goto(alone.as_uri() + FIRST)
        panel = page.get_by_role("dialog")
        expect(panel.get_by_role("alert")).to_contain_text("many.raw.js cannot be loaded. It belongs into the folder")
        assert panel.get_by_text("Measure it again").is_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="All records as JSONL").click()
        expect(page.locator("#cells .toolbar").get_by_text("many.raw.js cannot be loaded")).to_be_visible()
        shutil.copy(many.with_name("many.raw.js"), tmp_path)
        page.locator(".grid tbody a").first.click()
        panel.get_by_role("img").first.wait_for()
