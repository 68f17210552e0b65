"""Templates to one self-contained HTML document: styles and scripts are inlined, nothing is loaded from elsewhere."""

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.report.columns import long_columns, numeric_columns
from bench.report.figures.marks import with_attributes
from bench.report.figures.theme import dark_variables
from bench.report.tooltips import add_terms

LOADER: jinja2.BaseLoader = jinja2.PackageLoader("bench.report", "templates")

_FOLDER = Path(__file__).parent
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
# Plain scripts that share one scope, in the order in which they are inlined.
_SCRIPTS = (
    "elements.js",
    "numbers.js",
    "files.js",
    "state.js",
    "records.js",
    "isolation.js",
    "tables.js",
    "choices.js",
    "numbers_of_view.js",
    "images.js",
    "marks.js",
    "figures.js",
    "query.js",
    "grid.js",
    "raw.js",
    "panel.js",
    "cells.js",
    "start.js",
)
# What the page leaves out of the scripts: types, descriptions and indentation.
_LEFT_OUT = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n|/\*\* @(?:(?!\*/).)*\*/ ?|^ +", re.DOTALL | re.MULTILINE)
_DARK = "/* colours of drawings */"  # stands in page.css, where the values for a dark page belong


def render(template: str, **context: Any) -> str:
    """Return the document that ``template``, a file of the folder ``templates``, makes of ``context``.

    Its Content-Security-Policy allows the inlined script only, by its hash, and what that script itself adds.
    """
    packed: list[str] = []

    def pack(markup: str) -> Markup:
        packed.append(markup)
        return Markup(base64.b64encode(gzip.compress(markup.encode(), mtime=0)).decode())  # noqa: S704

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
    script = _LEFT_OUT.sub("", _joined("script", _SCRIPTS))
    environment.globals |= {
        "style": Markup(_joined("style", _STYLES)),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "policy": _policy(script),
    }
    html = environment.get_template(template).render(context)
    return html.replace(_DARK, dark_variables([html, *packed]), 1)


def _joined(folder: str, names: tuple[str, ...]) -> str:
    return "\n".join((_FOLDER / folder / name).read_text(encoding="utf-8").strip() for name in names)


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' 'strict-dynamic'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
