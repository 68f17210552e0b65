"""The document holds every style and the scripts of its page, and its policy allows these scripts and no others."""

import base64
import gzip
import hashlib
import re
from html import unescape
from pathlib import Path

import pytest

from bench.report import document
from bench.report.scripts import OF_TEMPLATE

FOLDER = Path(document.__file__).parent
CONTEXT = {
    "report.html.j2": {"title": "", "provenance": "", "series": [], "sections": [], "data": ""},
    "compare.html.j2": {
        "title": "", "sources": [], "sentence": "", "counts": [], "notes": [], "rows": [], "names": ("one", "other"),
        "only_in": (0, 0), "thresholds": {"bytes": 0, "time": 2, "accuracy": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=CONTEXT)
def html(request: pytest.FixtureRequest) -> str:
    return document.render(request.param, **CONTEXT[request.param])


def scripts_of(html: str) -> list[str]:
    """The script that runs when a page opens, and the one that it holds packed, if it does."""
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    packed = re.findall(r'<script type="text/plain" id="cells-script">([^<]*)</script>', html)
    return [script, *(gzip.decompress(base64.b64decode(text)).decode() for text in packed)]


def test_every_script_is_in_a_document() -> None:
    whole = "".join("".join(scripts_of(document.render(name, **context))) for name, context in CONTEXT.items())
    for file in (FOLDER / "script").glob("*.js"):
        text = file.read_text(encoding="utf-8")
        names = re.findall(r"^(?:async )?(?:function|class) (\w+)", text, re.MULTILINE)
        assert names or file.name == "start_comparison.js"
        assert all(re.search(rf"\b(?:function|class) {name}\b", whole) for name in names), file.name
    listed = {name for parts in OF_TEMPLATE.values() for part in parts for name in part}
    assert listed == {file.name for file in (FOLDER / "script").glob("*.js")}


@pytest.mark.parametrize("file", sorted((FOLDER / "style").glob("*.css")), ids=lambda file: file.name)
def test_every_style_is_in_the_document(html: str, file: Path) -> None:
    assert file.read_text(encoding="utf-8").strip().splitlines()[-1] in html


def test_the_policy_has_the_hashes_of_the_scripts(html: str) -> None:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts_of(html)]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert f"script-src {allowed} 'strict-dynamic';" in unescape(policy)
    assert "default-src 'none'" in unescape(policy)


def test_a_page_has_little_script(html: str) -> None:
    script, *packed = scripts_of(html)
    assert len(script) < 24_000
    assert all(len(base64.b64encode(gzip.compress(text.encode()))) < 12_000 for text in packed)
