"""``sid-bench claims``: what results files say of each claim."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.analysis.words import numbered
from bench.cli.console import out, warn
from bench.cli.results_files import results_files
from bench.cli.table import print_rows
from bench.store.text_file import refuse_overlaps, write_text

if TYPE_CHECKING:
    from bench.analysis.statistics.rows import ClaimRow


def claims(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Results files, or quoted patterns: 'results/*.jsonl'."),
    ],
    claims_file: Annotated[
        Path | None, typer.Option("--claims", metavar="FILE.toml", help="Claims of your own. \\[default: the paper's]")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the table as Markdown, claims in full.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print the claims that are not measured, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Compute a verdict on each claim from results files, with the comparison that decides it.

    A verdict is supported, not supported (a control explains the effect), refuted, undecided or not measured. Of the
    claims that come with sid-bench, those that are not measured are only named, unless --all is given.
    """
    from bench.analysis.files import read_files  # SciPy takes a moment to load
    from bench.analysis.statistics.claim_file import load_claims
    from bench.analysis.statistics.rows import claim_rows
    from bench.report.claims import claims_markdown

    asked = load_claims(claims_file)
    paths = results_files(files)
    if markdown is not None:
        refuse_overlaps([("--markdown", markdown)], [*paths, *filter(None, [claims_file])])
    _, records, warnings = read_files(paths)
    rows = claim_rows(records, asked)
    warn(warnings)
    if markdown is not None:
        write_text(markdown, f"{claims_markdown(rows)}\n")
    if as_json:
        out.print(json.dumps([asdict(row) for row in rows], indent=2), markup=False, highlight=False)
        return
    shown = [row for row in rows if everything or claims_file is not None or row.verdict != "not measured"]
    if shown:
        _print_verdicts(shown)
    folded = [row.name for row in rows if row not in shown]
    if folded:
        if shown:
            out.print()
        names = ", ".join(folded)
        out.print(f"not measured, shown with --all: {numbered(len(folded), 'claim')}: {names}", highlight=False)


def _print_verdicts(rows: "Sequence[ClaimRow]") -> None:
    print_rows(
        out,
        ("claim", "verdict", "comparisons", "effect [interval]", "sample", "margin", "controls"),
        [
            (row.name, row.verdict_text, row.answers_text, row.effect_text, row.sample, row.margin, row.control_text)
            for row in rows
        ],
    )
    for row in rows:
        out.print(f"\n{row.name}: {row.sentence}\n  {row.verdict_text}: {row.reason}", markup=False, highlight=False)
