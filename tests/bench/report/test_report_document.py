"""The document holds every script and style, and its policy allows this script and no other."""

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

import pytest

from bench.report import document

FOLDER = Path(document.__file__).parent


@pytest.fixture(scope="module")
def html() -> str:
    return document.render("base.html.j2")


@pytest.mark.parametrize("file", sorted((FOLDER / "script").glob("*.js")), ids=lambda file: file.name)
def test_every_script_is_in_the_document(html: str, file: Path) -> None:
    names = re.findall(r"^(?:async )?(?:function|class) \w+", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert names
    assert all(name in html for name in names)


@pytest.mark.parametrize("file", sorted((FOLDER / "style").glob("*.css")), ids=lambda file: file.name)
def test_every_style_is_in_the_document(html: str, file: Path) -> None:
    assert file.read_text(encoding="utf-8").strip().splitlines()[-1] in html


def test_the_policy_has_the_hash_of_the_script(html: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert f"script-src 'sha256-{digest}' 'strict-dynamic'" in unescape(policy)
    assert "default-src 'none'" in unescape(policy)


def test_descriptions_of_the_script_are_left_out(html: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert "/*" not in script
    assert len(script) > 20_000
