"""The printed page: the view that is shown, closed tables, and no text upon other text."""

from pathlib import Path

import pytest
from chromium import MARKS, opened
from playwright.sync_api import Browser

pytestmark = MARKS

# Pairs of texts that overlap by more than a pixel in both directions. The box of a text is that of its letters.
OVERLAPS = """() => {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const around = text.parentElement;
    if (!text.data.trim() || around.closest('script, style, noscript, .hidden') || !around.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) boxes.push([box, text.data.trim().slice(0, 40)]);
  }
  const overlaps = [];
  boxes.sort((one, other) => one[0].top - other[0].top);
  boxes.forEach(([one, text], place) => {
    for (const [other, another] of boxes.slice(place + 1)) {
      if (other.top > one.bottom - 1) break;
      if (Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
          && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 3) overlaps.push([text, another]);
    }
  });
  return [boxes.length, overlaps];
}"""
PAPER = 688  # pixels: A4 without its margins


@pytest.mark.parametrize("hash_", ["#figure-one.last", "#show.figure-one=table"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_do_not_overlap_and_bars_are_gone(browser: Browser, made: Path, hash_: str, scheme: str) -> None:
    with opened(browser, made, hash_, width=PAPER, color_scheme=scheme) as page:
        page.emulate_media(media="print", color_scheme=scheme)
        count, overlaps = page.evaluate(OVERLAPS)
        assert count > 60
        assert overlaps == []
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
        assert page.evaluate(OVERLAPS)[1] == []
        assert page.locator("h1").is_hidden()
        assert page.locator("#figure-one").is_hidden()
        assert page.get_by_role("dialog").get_by_text("Measure it again").is_visible()
