"""``sid-bench claims``: what results files say of each claim."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import out, warn
from bench.cli.results_files import results_files
from bench.cli.table import print_rows
from bench.store.text_file import refuse_overlaps, write_text


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
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Compute a verdict on each claim from results files, with the comparison that decides it.

    A verdict is supported, not supported (a control explains the effect), refuted, undecided or not measured.
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
