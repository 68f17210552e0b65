"""Templates to one self-contained HTML document: styles and scripts are inlined, nothing is loaded from elsewhere."""

import base64
import gzip
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.report.columns import long_columns, numeric_columns
from bench.report.figures.marks import with_attributes
from bench.report.figures.theme import dark_variables
from bench.report.scripts import OF_TEMPLATE, policy_of, script_of
from bench.report.tooltips import add_terms

LOADER: jinja2.BaseLoader = jinja2.PackageLoader("bench.report", "templates")

_FOLDER = Path(__file__).parent / "style"
_STYLES = (
    "page.css",
    "table.css",
    "answer.css",
    "claims.css",
    "leaderboard.css",
    "figure.css",
    "cells.css",
    "compare.css",
    "print.css",
)
_DARK = "/* colours of drawings */"  # stands in page.css, where the values for a dark page belong


def render(template: str, **context: Any) -> str:
    """Return the document that ``template``, a file of the folder ``templates``, makes of ``context``.

    Its Content-Security-Policy allows the scripts of :data:`bench.report.scripts.OF_TEMPLATE` only, by their hashes,
    and what those scripts themselves add.
    """
    packed: list[str] = []

    def pack(markup: str) -> Markup:
        packed.append(markup)
        return _packed(markup)

    environment = jinja2.Environment(
        loader=LOADER,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "with_attributes": lambda svg, prefix: Markup(with_attributes(svg, prefix)),  # noqa: S704
        "numeric_columns": numeric_columns,
        "long_columns": long_columns,
        "packed": pack,
    }
    add_terms(environment)
    script, later = map(script_of, OF_TEMPLATE.get(template, ((), ())))  # a section by itself has none
    environment.globals |= {
        "style": Markup(_style()),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "packed_script": _packed(later),
        "policy": policy_of(filter(None, (script, later))),
    }
    html = environment.get_template(template).render(context)
    return html.replace(_DARK, dark_variables([html, *packed]), 1)


def _packed(text: str) -> Markup:
    """Return base64 of the gzip of ``text``, which the script of the page unpacks."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode())  # noqa: S704


def _style() -> str:
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8").strip() for name in _STYLES)
