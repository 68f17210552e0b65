"""Makes everything that is published of the reference records anew: ``python -m bench.reference``."""

import argparse
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.reference.numbers import Numbers
from bench.reference.pages import suites_in, write_page
from bench.reference.texts import rendered, with_blocks
from bench.store.text_file import write_text


def main() -> None:
    """Write the pages, README's generated parts and the documents made from records, in the checkout where it runs."""
    options = _options()
    root: Path = options.root
    records, pages = root / "results" / "reference", root / "reports" / "reference"
    try:
        if not options.texts:
            for suite in suites_in(records):
                print(f"the page of {suite}", flush=True)
                write_page(records, pages, suite)
        write_texts(root, records)
    except (BenchError, OSError) as error:
        sys.exit(f"error: {error}")


def write_texts(root: Path, records: Path) -> None:
    """Write README's generated parts, the findings, the evidence and the verdicts.

    Args:
        root: the folder of ``README.md`` and ``docs``.
        records: the folder of ``SUITE.jsonl``.

    Raises:
        ConfigError: a template names records that are not there.
    """
    numbers = Numbers(records)
    readme = root / "README.md"
    blocks = {
        "answers": rendered("answers", numbers),
        "claims": numbers.verdicts_in_brief(),
        "suites": rendered("suites", numbers),
    }
    write_text(readme, with_blocks(readme.read_text(encoding="utf-8"), blocks))
    for name in ("findings", "evidence", "verdicts"):
        write_text(root / "docs" / f"{name}.md", rendered(name, numbers))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reference", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: the folder you are in)")
    parser.add_argument("--texts", action="store_true", help="README, the findings, the evidence and the verdicts only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
