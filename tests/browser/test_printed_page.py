"""The printed page: the view that is shown, closed tables, and no text upon other text."""

from pathlib import Path

import pytest
from checks import PAPER, broken_words, overlapping_texts
from chromium import MARKS, opened
from made_page import write_wide_tables
from playwright.sync_api import Browser

pytestmark = MARKS


@pytest.mark.parametrize("hash_", ["#figure-one.last", "#show.figure-one=table"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_do_not_overlap_and_bars_are_gone(browser: Browser, made: Path, hash_: str, scheme: str) -> None:
    with opened(browser, made, hash_, width=PAPER, color_scheme=scheme) as page:
        page.emulate_media(media="print", color_scheme=scheme)
        assert overlapping_texts(page) == []
        for gone in (".chips", ".toolbar", "nav", ".grid", "details > div"):
            assert page.locator(f"{gone} >> visible=true").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("#figure-one .view:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
        pdf = page.pdf(format="A4")
        assert pdf.startswith(b"%PDF")
        assert 2 <= pdf.count(b"/Type /Page\n") <= 5


def test_an_open_panel_is_printed_alone(browser: Browser, made: Path) -> None:
    with opened(browser, made, width=PAPER) as page:
        page.locator(".grid tbody a").first.click()
        page.locator("dialog .raw summary").first.wait_for()
        page.emulate_media(media="print")
        assert overlapping_texts(page) == []
        assert page.locator("h1").is_hidden()
        assert page.locator("#figure-one").is_hidden()
        assert page.get_by_role("dialog").get_by_text("Measure it again").is_visible()


def test_tables_of_many_columns_fit_the_paper_without_broken_words(browser: Browser, tmp_path: Path) -> None:
    file = write_wide_tables(tmp_path / "wide.html", [4, 10, 14, 23])
    with opened(browser, file, width=PAPER) as page:
        page.emulate_media(media="print")
        assert broken_words(page) == []
        assert overlapping_texts(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
