"""What is said about the package: licence, version and citation agree, and CONTRIBUTING names files that exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Dates stay texts, as in the schema.
CITATION: dict[str, Any] = yaml.load((ROOT / "CITATION.cff").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

# The keys that the schema of version 1.2.0 knows; it allows no others.
KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
    "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "title", "type", "url", "version",
}  # fmt: skip


def test_the_citation_has_what_its_schema_requires() -> None:
    assert CITATION.keys() >= {"authors", "cff-version", "message", "title"}
    assert CITATION.keys() <= KEYS
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["message"]
    assert CITATION["authors"]
    for author in CITATION["authors"]:
        assert author.keys() in ({"name"}, {"given-names", "family-names"})
    for reference in CITATION["references"]:
        assert reference.keys() >= {"authors", "title", "type"}
        assert reference["authors"]


def test_version_licence_and_authors_agree() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[(\d[^]]*)\] - (Unreleased|\d{4}-\d\d-\d\d)$", changes, re.MULTILINE)
    assert latest is not None
    assert latest[1] == PROJECT["version"] == CITATION["version"]
    assert CITATION.get("date-released", "Unreleased") == latest[2]
    assert CITATION["license"] == PROJECT["license"] == "Apache-2.0"
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_licence_is_apache_2() -> None:
    (file,) = PROJECT["license-files"]
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.lstrip().startswith("Apache License\n")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert not any(name.startswith("License ::") for name in PROJECT["classifiers"])  # PEP 639: the expression alone


def test_the_readme_leads_to_licence_citation_and_contributing() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("LICENSE", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert f"({name})" in readme


def test_contributing_names_files_that_exist() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:bench|docs|sid_core|tests)/[\w./-]*)`", text)) | set(
        re.findall(r"\]\(([^)#]+)\)", text)
    )
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("kind", ["method", "network", "data set", "axis", "suite", "figure", "claim", "benchmark"])
def test_contributing_says_for_each_addition_which_test_to_write(kind: str) -> None:
    (row,) = re.findall(rf"^\| an? {kind}[^|]* \|(.*)\|$", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
    files, tests = row.split("|")
    assert re.search(r"`(?:bench|tests)/", files)
    assert tests.strip()
