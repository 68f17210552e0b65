"""The reference pages: one report per results file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import write_report

_IN_README = "default"  # README shows its answers and one of its figures
_FIGURE = "memory-depth.svg"


def suites_in(folder: Path) -> list[str]:
    """Return the names of the results files in ``folder``, which are those of their pages."""
    return sorted(file.stem for file in folder.glob("*.jsonl"))


def write_page(records: Path, pages: Path, suite: str) -> None:
    """Write the page of a suite.

    Args:
        records: the folder of ``SUITE.jsonl``.
        pages: the folder of ``SUITE.html``, and of README's figure and ``summary.md`` of the suite ``default``.
        suite: its name.

    Raises:
        StoreError: a file cannot be read or written.
    """
    source, target = records / f"{suite}.jsonl", pages / f"{suite}.html"
    if suite != _IN_README:
        write_report([source], target)
        return
    with TemporaryDirectory() as figures:
        write_report([source], target, Path(figures), pages / "summary.md")
        (pages / _FIGURE).write_bytes((Path(figures) / _FIGURE).read_bytes())
