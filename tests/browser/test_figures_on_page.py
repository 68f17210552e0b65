"""Views of figures: choosing, reading marks by pointer and keyboard, highlighting methods, saving."""

import csv
import io
import json
import struct
from pathlib import Path
from xml.etree import ElementTree

from chromium import MARKS, downloaded, opened
from made_page import NAME_OF_LONG_CHOICE, SPECIAL
from playwright.sync_api import Browser, Page

pytestmark = MARKS


def records_of(made: Path) -> dict[str, dict]:
    lines = made.with_name("records.jsonl").read_text().splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


def focused(page: Page, attribute: str) -> str | None:
    return page.evaluate(f"document.activeElement.getAttribute('{attribute}')")


def test_one_view_is_seen_and_the_chooser_shows_others(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        figure = page.locator("#figure-one")
        assert figure.locator(".view:visible").count() == 1
        for name, choice in (("third", "depth 8"), ("packed", NAME_OF_LONG_CHOICE), ("last", f"all {SPECIAL}")):
            figure.get_by_role("combobox").select_option(choice)
            view = figure.locator(".view:visible")
            view.and_(page.locator(f"[data-view='{name}']")).wait_for()
            assert view.count() == 1
            assert choice in view.locator(".finding").inner_text()
            assert f"view.figure-one={name}" in page.url
        page.locator("#other").get_by_role("button", name="depth 4").click()
        page.locator("#other .view[data-view='second']").wait_for()
        page.go_back()
        page.go_back()
        figure.locator(".view[data-view='packed']").wait_for()
        page.locator("#other .view[data-view='first']").wait_for()
        page.get_by_role("link", name="The third view").click()
        figure.locator(".view[data-view='third']").wait_for()


def test_a_pointer_on_a_mark_shows_its_numbers_and_a_click_opens_its_cell(browser: Browser, made: Path) -> None:
    records = records_of(made)
    with opened(browser, made) as page:
        mark = page.locator("#figure-one [data-mark='1']:visible")
        mark.hover()
        tooltip = page.get_by_role("tooltip")
        record = records[mark.get_attribute("data-cell") or ""]
        text = tooltip.inner_text()
        latency = record["latency"]
        for part in (
            "sid-streamed",
            repr(latency["ratio_to_bp"]),
            str(latency["ratio_ci95"]),
            "1 process",
            f"cascade-linear {SPECIAL}",
        ):
            assert part in text
        box = tooltip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["y"] >= 0
        mark.click()
        page.get_by_role("dialog").wait_for()
        assert page.url.endswith(f"#cell={record['id']}")
        assert not tooltip.is_visible()


def test_arrow_keys_lead_from_mark_to_mark(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        view = page.locator("#figure-one .view:visible")
        assert view.locator("svg:visible [tabindex='0']").count() == 1
        page.locator("#figure-one").get_by_role("button", name="Save as PNG").focus()
        page.keyboard.press("Tab")
        assert focused(page, "data-mark") == "0"
        seen = []
        for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft", "Home", "End"):
            page.keyboard.press(key)
            seen.append(focused(page, "data-mark"))
            assert page.get_by_role("tooltip").is_visible()
        assert seen == ["1", "2", "2", "1", "0", "2"]
        assert (focused(page, "aria-label") or "").startswith("method: bp-checkpoint; depth: 2; ratio: ")
        assert page.evaluate("document.activeElement.classList.contains('current')")
        assert view.locator("svg:visible [tabindex='0']").count() == 1
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        assert focused(page, "data-mark") == "2"
        page.keyboard.press("Escape")
        assert not page.get_by_role("tooltip").is_visible()


def test_a_touch_shows_the_numbers_and_a_second_one_opens_the_cell(browser: Browser, made: Path) -> None:
    with opened(browser, made, width=400, has_touch=True) as page:
        mark = page.locator("#figure-one [data-mark='0']:visible")
        mark.tap()
        assert page.get_by_role("tooltip").is_visible()
        assert not page.get_by_role("dialog").is_visible()
        mark.tap()
        page.get_by_role("dialog").wait_for()


def test_chips_highlight_methods_in_figures_and_tables(browser: Browser, made: Path) -> None:
    def dimmed(selector: str) -> set[str]:
        return set(
            page.locator(f"{selector} [data-series].dimmed").evaluate_all("all => all.map(e => e.dataset.series)")
        )

    with opened(browser, made, "#show.other=table") as page:
        chips = page.get_by_role("region", name="Highlight methods")
        assert chips.get_by_role("button").all_inner_texts()[:4] == [
            "All methods",
            "bp",
            "sid-streamed",
            "bp-checkpoint",
        ]
        chips.get_by_role("button", name="sid-streamed").click()
        assert dimmed("#figure-one") == dimmed("#other .numbers-shown") == {"bp", "bp-checkpoint"}
        assert "bp" in dimmed(".grid")
        assert "sid-streamed" not in dimmed(".grid")
        chips.get_by_role("button", name="bp", exact=True).click()
        assert dimmed("#figure-one") == {"bp-checkpoint"}
        page.locator("#figure-one").get_by_role("combobox").select_option(NAME_OF_LONG_CHOICE)
        page.locator("#figure-one .view[data-view='packed']").wait_for(state="visible")
        assert dimmed("#figure-one") == {"bp-checkpoint"}
        page.keyboard.press("Escape")
        assert dimmed("body") == set()
        assert "only=" not in page.url
        page.locator("#figure-one .wide [data-series='bp']:not([data-mark]) text:visible").click()
        assert "bp" not in dimmed("#figure-one")
        assert "sid-streamed" in dimmed("#figure-one")
        page.go_back()
        assert dimmed("body") == set()


def test_table_and_csv_of_a_figure_hold_the_numbers_of_the_records(browser: Browser, made: Path) -> None:
    records = records_of(made)
    with opened(browser, made, "#figure-one.last") as page:
        figure = page.locator("#figure-one")
        figure.get_by_role("button", name="Table").click()
        table = figure.get_by_role("table")
        assert table.get_by_role("row").count() == 1 + 11
        assert not figure.locator("svg").first.is_visible()
        name, content = downloaded(page, "Save as CSV")
        assert name == "a page-figure-one-last.csv"
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert len(rows) == 11
        for row in rows:
            latency = records[row["id"]]["latency"]
            assert float(row["ratio"]) == latency["ratio_to_bp"]
            assert json.loads(row["interval"]) == latency["ratio_ci95"]
            assert row["cell"] == f"cascade-linear {SPECIAL}"
        first = table.locator("tbody tr").first.locator("td").nth(1).inner_text()
        assert first == rows[0]["ratio"]


def test_drawings_are_saved_as_svg_and_png_in_light_colours(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#only=bp", color_scheme="dark") as page:
        name, svg = downloaded(page, "Save as SVG")
        assert name == "a page-figure-one-first.svg"
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("}svg")
        assert (root[0].text or "").startswith("At depth 2, bp takes ")
        assert b"var(" not in svg
        assert b"#0072b2" in svg
        assert b"dimmed" not in svg
        name, png = downloaded(page, "Save as PNG")
        assert name == "a page-figure-one-first.png"
        assert png.startswith(b"\x89PNG")
        width, _ = struct.unpack(">II", png[16:24])
        assert width > 1800
