"""Templates to one self-contained HTML document: styles and scripts are inlined, nothing is loaded from elsewhere."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.report.figures.marks import with_attributes
from bench.report.tooltips import add_terms

_FOLDER = Path(__file__).parent
_STYLES = ("page.css", "leaderboard.css")
# Plain scripts that share one scope, in the order in which they are inlined.
_SCRIPTS: tuple[str, ...] = ()


def render(template: str, **context: Any) -> str:
    """Return the document that ``template``, a file of the folder ``templates``, makes of ``context``.

    Its Content-Security-Policy allows the inlined script only, by its hash, and what that script itself adds.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["with_attributes"] = lambda svg, prefix: Markup(with_attributes(svg, prefix))  # noqa: S704
    add_terms(environment)
    script = _joined("script", _SCRIPTS)
    environment.globals |= {
        "style": Markup(_joined("style", _STYLES)),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "policy": _policy(script),
    }
    return environment.get_template(template).render(context)


def _joined(folder: str, names: tuple[str, ...]) -> str:
    return "\n".join((_FOLDER / folder / name).read_text(encoding="utf-8").strip() for name in names)


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' 'strict-dynamic'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
