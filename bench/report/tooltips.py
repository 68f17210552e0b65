"""Terms in templates: links to their definitions, and short definitions for tooltips."""

from typing import Any

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup

from bench.report.glossary import Term, glossary


def add_terms(environment: jinja2.Environment) -> None:
    """Add the functions ``term`` and ``meaning`` to the templates of ``environment``.

    ``term("Step latency")`` is a link to the definition on the page with its first sentence as a tooltip; with a second
    argument, that is its text. Where the page does not define the term, it is the text alone. ``meaning`` gives that
    sentence, for the attribute ``title`` of an element that cannot hold a link.
    """
    environment.globals |= {"term": _term, "meaning": _meaning}


@jinja2.pass_context
def _term(context: Context, name: str, text: str | None = None) -> Any:
    found = glossary()[name]
    shown = text or name
    if found not in _defined(context):
        return shown
    return Markup('<a class="term" href="#{}" title="{}">{}</a>').format(found.anchor, found.summary, shown)


def _meaning(name: str) -> str:
    return glossary()[name].summary


def _defined(context: Context) -> tuple[Term, ...]:
    """Return the terms that the section ``definitions`` of the page has."""
    sections = context.get("sections", ())
    return next((section.content for section in sections if section.name == "definitions"), ())
