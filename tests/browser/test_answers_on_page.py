"""The answers of a reference page stand in the first screen, and below each other on a narrow one."""

from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from chromium import MARKS, opened
from many_records import write_many
from playwright.sync_api import Browser

from bench.analysis.answer.answer import Answer
from bench.analysis.statistics.verdict import Verdict
from bench.report import write_report
from bench.report.document import render
from bench.report.sections.answer import AnswerContent, card_of
from bench.report.sections.order import SECTIONS
from bench.report.sections.section import Filled
from bench.report.sections.titles import TITLES

pytestmark = MARKS

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
QUESTIONS = ["Does SID need less memory?", "Is SID faster?", "Is SID as accurate?"]


@pytest.fixture(scope="module", params=["noise", "parallel", "many"])
def reference_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the longest answer of one suite, one with an answer that was not measured, and one of many records.

    The first and the last are without their drawings.
    """
    page = tmp_path_factory.mktemp("reference") / f"{request.param}.html"
    results = REFERENCE / f"{request.param}.jsonl"
    if request.param == "many":
        results = page.with_suffix(".jsonl")
        write_many(results, 1_000)
    sections = tuple(section for section in SECTIONS if request.param == "parallel" or not section.is_slow)
    with patch("bench.report.sections.order.SECTIONS", sections):
        write_report([results], page)
    return page


@pytest.mark.long
def test_the_answers_are_in_the_first_screen(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=1400) as page:
        cards = page.locator(".answer")
        assert cards.locator("h3").all_inner_texts() == QUESTIONS
        for card in cards.all():
            for part in card.locator("h3, .badge, p, li, summary").locator("visible=true").all():
                box = part.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= 900, part.inner_text()


@pytest.mark.long
def test_claims_keep_a_third_of_their_table_beside_the_names_of_controls(browser: Browser, tmp_path: Path) -> None:
    sections = tuple(section for section in SECTIONS if section.name in ("claims", "cells"))
    with patch("bench.report.sections.order.SECTIONS", sections):
        write_report([REFERENCE / "study.jsonl"], tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html", width=1400) as page:
        table = page.locator("table.claims").first
        assert "against the plain network" in table.inner_text()
        whole, claim = table.bounding_box(), table.locator("tbody th").first.bounding_box()
        assert whole is not None
        assert claim is not None
        assert claim["width"] > whole["width"] / 3


@pytest.mark.parametrize("length", [40, 260])
def test_answers_of_any_length_are_in_the_first_screen_and_lose_no_sentence(
    browser: Browser, tmp_path: Path, length: int
) -> None:
    sentences = tuple(f"{number} {'word ' * (length // 5)}" for number in range(24))
    verdict: Verdict
    cards = []
    for name, verdict in (("memory", "better"), ("time", "worse"), ("accuracy", "undecided")):
        long = "The result, " * 20
        cards.append(
            card_of(Answer(name, f"Is {name} less?", verdict, "12.3 %", "of BP's", long, sentences, "run", "1"))
        )
    filled = [Filled(name, title, AnswerContent(tuple(cards))) for name, title in TITLES.items() if name == "answer"]
    context = {"title": "A title of two lines " * 5, "provenance": "records of files " * 10, "series": [], "data": ""}
    (tmp_path / "page.html").write_text(render("report.html.j2", sections=filled, **context))
    with opened(browser, None, width=1400) as page:
        page.goto((tmp_path / "page.html").as_uri())
        bottoms = page.locator(".answer").evaluate_all("all => all.map(e => e.getBoundingClientRect().bottom)")
        assert 600 < max(bottoms) <= 900
        for card in page.locator(".answer").all():
            shown = card.locator("li").locator("visible=true").count()
            assert 0 < shown < len(sentences)
            assert card.locator("summary").inner_text() == f"{len(sentences) - shown} more sentences"
            card.locator("summary").click()
            assert card.locator("li").locator("visible=true").all_inner_texts() == [one.strip() for one in sentences]
        page.reload()
        page.emulate_media(media="print")
        assert page.locator(".answer li").locator("visible=true").count() == 3 * len(sentences)


@pytest.mark.long
def test_the_answers_are_stacked_on_a_narrow_page(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=400) as page:
        boxes = [card.bounding_box() for card in page.locator(".answer").all()]
        assert len(boxes) == 3
        for upper, lower in pairwise(boxes):
            assert upper is not None
            assert lower is not None
            assert upper["y"] + upper["height"] <= lower["y"]
            assert upper["width"] == lower["width"] <= 400


@pytest.mark.long
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


@pytest.mark.long
def test_leaderboards_show_all_their_rows(browser: Browser, reference_page: Path) -> None:
    with opened(browser, reference_page, width=1400) as page:
        heights = page.locator(".board").evaluate_all("all => all.map(e => [e.scrollHeight, e.clientHeight])")
        assert heights
        assert all(content <= seen for content, seen in heights)
