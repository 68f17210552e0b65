"""Definitions: those that the records need, and links to them; tests/test_readme.py follows those of a whole page."""

import html
import re
from collections.abc import Sequence
from typing import Any

import jinja2
import pytest
from record_builder import in_a_row, made_data, made_inference, made_ranks, make_record

from bench.report.glossary import glossary, terms_for
from bench.report.sections.section import Filled
from bench.report.tooltips import add_terms
from bench.store.record import Record

TRAINED = make_record({"passes": ["accuracy"]}, accuracy=0.5, data=made_data(8))
TIMED = make_record({"passes": ["latency"]}, latency=(1.0, 0.9, 1.1))
COUNTED = make_record({"passes": ["memory"]}, 1000, data=made_data(8))


def names_for(*records: Record) -> set[str]:
    return {term.name for term in terms_for(records)}


def test_a_page_of_accuracies_defines_no_times_and_no_bytes() -> None:
    names = names_for(TRAINED)
    assert names >= {"Test accuracy", "Last epoch, chosen epoch", "Cell"}
    assert not names & {"Noisy", "Step latency", "Step time / BP", "Peak activation bytes", "Allocator", "Pareto front"}


def test_a_page_of_times_defines_no_accuracies() -> None:
    names = names_for(TIMED)
    assert names >= {"Noisy", "Step latency", "Step time / BP"}
    assert not names & {"Test accuracy", "Peak activation bytes", "Noise rate", "Minus BP's"}


def test_differences_are_defined_where_a_method_stands_beside_bp() -> None:
    other = make_record({"method": "sid-streamed", "passes": ["accuracy"]}, accuracy=0.5)
    assert "Minus BP's" not in names_for(TRAINED)
    assert "Minus BP's" not in names_for(other)
    assert "Minus BP's" in names_for(TRAINED, other)


def test_flushed_numbers_are_defined_where_the_environment_names_them() -> None:
    flushed = TIMED.model_copy(update={"environment": {"denormals_flushed": True}})
    assert "Denormal numbers" in names_for(flushed)
    assert "Denormal numbers" not in names_for(TIMED)


def test_failures_need_only_what_every_page_needs() -> None:
    failed = make_record({"passes": ["memory"]}, status="oom", message="why")
    assert names_for(failed) == {"Cell"}


def test_each_term_is_on_some_page() -> None:
    content = TIMED.model_dump(mode="json", by_alias=True)
    process = {"median_seconds": 0.01, "bp_median_seconds": 0.01, "usage": None, "bp_usage": None}
    content["latency"]["processes"] = [process | {"parallel_efficiency": [0.9]}]
    content["environment"] = {"denormals_flushed": True}
    cells: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"method": "sid-streamed-autograd", "passes": ["memory"]}, {"memory": 1000}),
        ({"method": "bp", "modules": 1, "depth": 4, "passes": ["memory"]}, {"memory": 1000, "data": made_data(8)}),
        ({"passes": ["latency"], "seed": 1}, {"latency": (1, 0.9, 1.1), "step_shares": (0.1, 0.1, 0.1)}),
        ({"method": "sid-streamed", "passes": ["accuracy"], "noise_rate": 0.4}, {"accuracy": 0.5}),
        ({"passes": ["inference"]}, {"inference": made_inference(6000, 4000, 2.0)}),
        ({"passes": ["memory"], "seed": 2}, {"memory": 1000, "ranks": made_ranks([2, 2])}),
        ({"passes": ["latency"], "seed": 3}, {"latency": (1, 0.9, 1.1), "trace": in_a_row(("f1", 1.0))}),
    ]
    records = [Record.parse(content), TRAINED, *(make_record(cell, **parts) for cell, parts in cells)]
    assert names_for(*records) == set(glossary())


def test_anchors_and_first_sentences_are_fit_for_links() -> None:
    terms = list(glossary().values())
    assert len({term.anchor for term in terms}) == len(terms)
    for term in terms:
        assert re.fullmatch(r"term-[a-z0-9-]*[a-z0-9]", term.anchor)
        assert 15 < len(term.summary) < 250
        assert term.summary.endswith(".")
        assert term.text.startswith(term.summary[:-1])


def shown(template: str, names: Sequence[str]) -> str:
    environment = jinja2.Environment(autoescape=True)
    add_terms(environment)
    content = tuple(glossary()[name] for name in names)
    return environment.from_string(template).render(sections=[Filled("definitions", "Definitions", content)])


def test_a_term_is_a_link_with_its_first_sentence() -> None:
    link = shown("{{ term('Samples/s') }}", ["Samples/s"])
    summary = html.escape(glossary()["Samples/s"].summary)
    assert link == f'<a class="term" href="#term-samples-s" title="{summary}">Samples/s</a>'
    assert shown("{{ term('Samples/s', 'a < b') }}", ["Samples/s"]).endswith(">a &lt; b</a>")


def test_a_term_that_the_page_does_not_define_is_text() -> None:
    assert shown("{{ term('Samples/s', 'a < b') }}", ["Cell"]) == "a &lt; b"


def test_a_term_that_nobody_defines_is_an_error() -> None:
    with pytest.raises(KeyError, match="Sample"):
        shown("{{ term('Sample') }}", [])
