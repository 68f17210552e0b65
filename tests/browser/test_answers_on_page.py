"""The answers of a reference page stand in the first screen, and below each other on a narrow one."""

from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from chromium import MARKS, opened
from playwright.sync_api import Browser

from bench.report import write_report
from bench.report.sections.order import SECTIONS

pytestmark = MARKS

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
QUESTIONS = ["Does SID need less memory?", "Is SID faster?", "Is SID as accurate?"]


@pytest.fixture(scope="module", params=["noise", "parallel"])
def reference_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the longest answer, without its drawings, and one with an answer that was not measured."""
    page = tmp_path_factory.mktemp("reference") / f"{request.param}.html"
    sections = tuple(section for section in SECTIONS if request.param != "noise" or not section.is_slow)
    with patch("bench.report.sections.order.SECTIONS", sections):
        write_report([REFERENCE / f"{request.param}.jsonl"], page)
    return page


def test_the_answers_are_in_the_first_screen(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=1400) as page:
        cards = page.locator(".answer")
        assert cards.locator("h3").all_inner_texts() == QUESTIONS
        for card in cards.all():
            for part in card.locator("h3, .badge, p, li").all():
                box = part.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= 900, part.inner_text()


def test_the_answers_are_stacked_on_a_narrow_page(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=400) as page:
        boxes = [card.bounding_box() for card in page.locator(".answer").all()]
        assert len(boxes) == 3
        for upper, lower in pairwise(boxes):
            assert upper is not None
            assert lower is not None
            assert upper["y"] + upper["height"] <= lower["y"]
            assert upper["width"] == lower["width"] <= 400


def test_the_link_of_an_answer_opens_its_cell(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page) as page:
        link = page.locator(".answer a").first
        identifier = str(link.get_attribute("href")).removeprefix("#cell=")
        link.click()
        assert identifier in page.locator("dialog[open]").inner_text()


@pytest.mark.parametrize("width", [400, 1400])
def test_verdicts_of_answers_are_beside_their_questions(browser: Browser, reference_page: Path, width: int) -> None:
    with opened(browser, reference_page, width=width) as page:
        for card in page.locator(".answer").all():
            question, verdict = (card.locator(part).bounding_box() for part in ("h3", ".badge"))
            assert question is not None
            assert verdict is not None
            around = card.bounding_box()
            assert around is not None
            if around["width"] > 300:
                assert question["x"] + question["width"] <= verdict["x"]
                assert abs(question["y"] - verdict["y"]) < 10
            else:  # a narrow card of what was not measured, in which both need not fit on one line
                assert verdict["x"] + verdict["width"] <= around["x"] + around["width"]
                assert question["width"] <= around["width"]


def test_leaderboards_show_all_their_rows(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=1400) as page:
        heights = page.locator(".board").evaluate_all("all => all.map(e => [e.scrollHeight, e.clientHeight])")
        assert heights
        assert all(content <= seen for content, seen in heights)
