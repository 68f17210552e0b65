"""``sid-bench report --claims``: claims of one's own in place of those that come with the package."""

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from page_reader import shown_text
from record_builder import make_record
from typer.testing import CliRunner

from bench.cli.app import app

CLAIM = """
[[claim]]
name = "fewer-bytes"
sentence = "My rule holds fewer bytes than BP."
source = "this test"
family = "mine"
expect = "better"
statistics = ["activation_bytes"]
margin = 5
method = { method = "METHOD" }
against = { method = "bp" }
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results file with the bytes of BP and of deep supervision, in an empty folder."""
    file = tmp_path / "made.jsonl"
    sizes = {"bp": 100, "deep-supervision": 60}
    records = [make_record({"method": method, "passes": ["memory"]}, size) for method, size in sizes.items()]
    file.write_text("".join(f"{record.line()}\n" for record in records))
    return file


def report(results: Path, claims: Path, *arguments: object) -> Any:
    page = results.with_name("page.html")
    return CliRunner().invoke(app, ["report", str(results), "--out", str(page), "--claims", str(claims), *arguments])


def claims_of(folder: Path, method: str) -> Path:
    file = folder / "claims.toml"
    file.write_text(CLAIM.replace("METHOD", method))
    return file


def test_a_report_judges_claims_of_ones_own_and_no_others(results: Path) -> None:
    ended = report(results, claims_of(results.parent, "deep-supervision"))
    assert ended.exit_code == 0, ended.output
    page = unescape(shown_text(results.with_name("page.html")))
    assert "My rule holds fewer bytes than BP." in page
    assert 'data-verdict="supported"' in page
    assert "that the records do not test in full" not in page


def test_claims_of_ones_own_without_a_verdict_are_shown(results: Path) -> None:
    assert report(results, claims_of(results.parent, "sid-streamed")).exit_code == 0
    page = unescape(shown_text(results.with_name("page.html")))
    assert "1 claim that the records do not test in full" in page
    assert "My rule holds fewer bytes than BP." in page
    assert "Verdicts on claims" not in page


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("[[claim]]\nname = 'mine'\n", "claim mine: sentence is missing"),
        ("[[claim", "claims.toml"),
        (None, "claims.toml"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_written(results: Path, text: str | None, because: str) -> None:
    file = results.with_name("claims.toml")
    if text is not None:
        file.write_text(text)
    before = set(results.parent.iterdir())
    ended = report(results, file)
    assert ended.exit_code == 2
    assert because in ended.stderr.replace("\n", " ")
    assert set(results.parent.iterdir()) == before


@pytest.mark.parametrize("option", ["--out", "--markdown"])
def test_no_output_replaces_the_claims(results: Path, option: str) -> None:
    file = claims_of(results.parent, "deep-supervision")
    before = file.read_text()
    ended = report(results, file, option, str(file))
    assert ended.exit_code == 2
    assert "would replace the input" in " ".join(ended.stderr.split())
    assert file.read_text() == before
    assert not results.with_name("page.html").exists()
