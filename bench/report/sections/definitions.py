"""The section ``definitions``: the terms that the page uses."""

from bench.report.glossary import Term, terms_for
from bench.report.inputs import Inputs


def definitions(inputs: Inputs) -> tuple[Term, ...]:
    """Return the terms that a page on the records needs."""
    return terms_for(inputs.records)
