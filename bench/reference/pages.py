"""The reference pages: one report per results file."""

from pathlib import Path

from bench.report import write_report

_WITH_FIGURES = "default"  # its figures are files of their own, and its answers are README's


def suites_in(folder: Path) -> list[str]:
    """Return the names of the results files in ``folder``, which are those of their pages."""
    return sorted(file.stem for file in folder.glob("*.jsonl"))


def write_page(records: Path, pages: Path, suite: str) -> None:
    """Write the page of a suite.

    Args:
        records: the folder of ``SUITE.jsonl``.
        pages: the folder of ``SUITE.html``, and of figures and ``summary.md`` of the suite ``default``.
        suite: its name.

    Raises:
        StoreError: a file cannot be read or written.
    """
    source, target = records / f"{suite}.jsonl", pages / f"{suite}.html"
    if suite == _WITH_FIGURES:
        write_report([source], target, pages, pages / "summary.md")
    else:
        write_report([source], target)
