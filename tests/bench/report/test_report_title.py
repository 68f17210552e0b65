"""The title of a page is the question that its records are to answer."""

import pytest
from record_builder import make_record

from bench.config.sweep import question_of, suite_names
from bench.report.title import title_of
from bench.store.record import Record


def records_of(suite: str, *methods: str) -> list[Record]:
    return [make_record({"method": method, "passes": ["memory"]}, 100, suite=suite) for method in methods]


@pytest.mark.parametrize("suite", suite_names())
def test_a_page_of_one_suite_has_its_question(suite: str) -> None:
    assert title_of(records_of(suite, "bp", "sid-streamed")) == question_of(suite)


@pytest.mark.parametrize(
    ("methods", "title"),
    [
        (("bp", "sid-streamed"), "How does SID compare with backpropagation?"),
        (("bp", "deep-supervision"), "How does deep-supervision compare with backpropagation?"),
        (("deep-supervision", "bp-label-smoothing"), "How do 2 methods compare with backpropagation?"),
        (("bp",), "What does backpropagation cost?"),
    ],
)
def test_a_page_of_a_suite_without_a_question_names_its_methods(methods: tuple[str, ...], title: str) -> None:
    assert title_of(records_of("mine", *methods)) == title
    assert title_of([*records_of("mine", *methods), *records_of("default", *methods)]) == title


def test_a_question_about_sid_is_not_the_title_of_records_without_sid() -> None:
    assert title_of(records_of("default", "bp", "deep-supervision")) == (
        "How does deep-supervision compare with backpropagation?"
    )
