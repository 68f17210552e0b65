"""The page opens without errors or requests, at every width, in light and dark, and without JavaScript."""

from pathlib import Path

import pytest
from checks import WIDER, small_texts
from chromium import MARKS, opened
from made_page import NAME_OF_LONG_CHOICE, SPECIAL
from playwright.sync_api import Browser, Page

pytestmark = MARKS


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 900, 1600])
def test_nothing_is_requested_and_text_is_readable_without_scrolling_sideways(
    browser: Browser, made: Path, width: int, scheme: str
) -> None:
    with opened(browser, None, width=width, color_scheme=scheme) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(made.as_uri(), wait_until="networkidle")
        assert requests == [made.as_uri()]
        assert not page.evaluate(WIDER)
        assert small_texts(page) == []
        page.locator(".grid tbody a").first.click()
        page.locator("dialog .raw summary").first.wait_for()
        assert small_texts(page) == []
        assert page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth")


@pytest.mark.long
def test_the_drawing_fits_the_width(browser: Browser, made: Path) -> None:
    for width, name in ((400, "narrow"), (949, "narrow"), (950, "wide"), (1600, "wide")):
        with opened(browser, made, width=width) as page:
            seen = page.locator("#figure-one .view:visible svg:visible")
            assert seen.count() == 1
            assert seen.locator("xpath=..").get_attribute("class") == name


def test_colours_of_drawings_are_other_ones_on_a_dark_page(browser: Browser, made: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        with opened(browser, made, "#figure-one.packed", color_scheme=scheme) as page:
            mark = page.locator("#figure-one [data-mark='0'] use:visible")
            colours[scheme] = (mark.evaluate("e => getComputedStyle(e).fill"), paper_of(page))
    assert colours["light"] == ("rgb(26, 26, 26)", "rgb(255, 255, 255)")
    assert luminance(colours["dark"][0]) > 150 > 40 > luminance(colours["dark"][1])


def paper_of(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def luminance(colour: str) -> float:
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3


def test_names_of_records_are_text(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#view.figure-one=last&show.figure-one=table") as page:
        assert page.title() == f"A title with {SPECIAL}"
        assert page.locator("h1").inner_text() == f"A title with {SPECIAL}"
        assert page.locator("b").count() == 0
        assert page.locator("#figure-one option").last.inner_text() == f"all {SPECIAL}"
        assert page.locator("#figure-one .numbers-shown td a").first.inner_text() == f"cascade-linear {SPECIAL}"


def test_without_javascript_everything_static_can_be_read(browser: Browser, made: Path) -> None:
    with opened(browser, None, java_script_enabled=False) as page:
        page.goto(made.as_uri())
        assert page.locator("#figure-one .view svg:visible").count() == 1
        further = page.locator("#figure-one > noscript p")
        assert further.is_visible()
        assert further.inner_text() == (
            f"4 further drawings need JavaScript: depth 4; depth 8; {NAME_OF_LONG_CHOICE}; all {SPECIAL}."
        )
        numbers = page.locator("#figure-one details").first
        assert not numbers.locator("table").is_visible()
        numbers.locator("summary").click()
        assert numbers.locator("tbody tr").count() == 3
        assert page.locator("#cells noscript").get_by_role("paragraph").is_visible()
        assert page.get_by_role("button").count() == 0


def test_links_lead_to_sections_and_take_the_focus_there(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        links = page.locator("nav a")
        assert links.count() == 3
        for link in links.all():
            link.click()
            target = page.locator(link.get_attribute("href") or "")
            assert target.evaluate("e => e === document.activeElement")
            top = target.evaluate("e => e.getBoundingClientRect().top")
            assert 0 <= top < 900
        page.keyboard.press("Shift+Home")
        page.locator("body").press("Tab")
        page.goto(made.as_uri())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
