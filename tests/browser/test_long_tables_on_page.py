"""Long tables, made when they come into view, are opened, or are printed; wide tables; long names."""

from pathlib import Path

import pytest
from checks import PAPER, WIDER
from chromium import MARKS, opened
from made_page import LONG, LONG_NAME, SPECIAL, write_long_tables
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = MARKS

STEPS = [str(place * 37 % LONG) for place in range(LONG)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_long_tables(tmp_path_factory.mktemp("long") / "long.html")


def long_table(page: Page) -> Locator:
    return page.get_by_role("region", name="Table: Long <b>")


def steps_in(table: Locator) -> list[str]:
    return table.locator("tbody td").all_inner_texts()


def test_a_long_table_is_made_when_it_comes_into_view_and_can_be_sorted_and_filtered(
    browser: Browser, made: Path
) -> None:
    with opened(browser, made) as page:
        table = long_table(page)
        assert table.locator("tr").count() == 0
        table.scroll_into_view_if_needed()
        table.locator("tbody tr").first.wait_for()
        assert steps_in(table) == STEPS
        table.get_by_role("button", name="steps").click()
        assert steps_in(table) == [str(step) for step in range(LONG)]
        page.get_by_role("searchbox", name="Filter the rows of the table").fill("bp-checkpoint")
        expect(page.get_by_text(f"15 of {LONG} rows")).to_be_visible()
        assert table.locator("b").count() == 0
        assert SPECIAL in table.locator("tbody th").all_inner_texts()


def test_a_link_restores_the_order_of_each_long_table_whichever_is_made_first(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        page.locator("#closed summary").click()
        closed = page.locator("#closed .table")
        closed.get_by_role("button", name="steps").click()
        hash_ = page.url.partition("#")[2]
    with opened(browser, made, f"#{hash_}") as page:
        long_table(page).scroll_into_view_if_needed()
        long_table(page).locator("tbody tr").first.wait_for()
        assert steps_in(long_table(page)) == STEPS
        page.locator("#closed summary").click()
        closed = page.locator("#closed .table")
        closed.locator("tbody tr").first.wait_for()
        assert steps_in(closed) == [str(step) for step in range(LONG)]


def test_methods_are_highlighted_in_tables_that_are_made_later(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#only=bp") as page:
        page.locator("#closed summary").click()
        rows = page.locator("#closed tbody tr")
        rows.first.wait_for()
        assert page.locator("#closed tbody tr:not(.dimmed)").count() == len(range(0, LONG, 4))
        page.keyboard.press("Escape")
        assert page.locator("#closed tbody tr.dimmed").count() == 0


def test_open_long_tables_are_printed_and_closed_ones_are_not(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        page.emulate_media(media="print")
        expect(long_table(page).locator("tbody tr")).to_have_count(LONG)
        assert page.locator("#closed tr").count() == 0
    with opened(browser, made) as page:
        page.pdf()
        assert long_table(page).locator("tbody tr").count() == LONG


def test_long_tables_are_shown_without_javascript(browser: Browser, made: Path) -> None:
    with opened(browser, None, java_script_enabled=False) as page:
        page.goto(made.as_uri())
        assert long_table(page).locator("tbody tr:visible").count() == LONG
        page.locator("#closed summary").click()
        assert page.locator("#closed tbody tr:visible").count() == LONG


def test_a_wide_table_fits_the_paper(browser: Browser, made: Path) -> None:
    with opened(browser, made, width=PAPER) as page:
        page.emulate_media(media="print")
        assert page.get_by_role("columnheader", name="text 8").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER


@pytest.mark.parametrize("width", [400, 1000])
def test_long_names_do_not_widen_the_page(browser: Browser, made: Path, width: int) -> None:
    with opened(browser, made, width=width) as page:
        assert not page.evaluate(WIDER)
        widths = page.locator("h3, .board-cell").evaluate_all("all => all.map(e => [e.scrollWidth, e.clientWidth])")
        assert len(widths) == 3
        assert all(content <= seen for content, seen in widths)
        page.evaluate(f"addChips(['{LONG_NAME}'])")
        chip = page.locator(f".chip[title='{LONG_NAME}']").bounding_box()
        assert chip is not None
        assert chip["width"] <= 320
