"""``sid-bench gate``: whether a change of the code costs bytes or time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.analysis.words import numbered
from bench.cli.console import EXIT_FAULT, err, out
from bench.cli.measure import interruptible
from bench.cli.options import Only
from bench.cli.table import print_rows
from bench.errors import ConfigError
from bench.store.text_file import refuse_overlaps, write_text


def gate(
    base: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="Compare times with this commit, which is measured in turns with the code now; if the baseline was "
            "renewed since, with the commit that did. \\[default: with the baseline's times, on its machine]",
        ),
    ] = None,
    renew: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Measure the baseline anew instead, and write the reason into it."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Results file. \\[default: results/gate/baseline.jsonl]")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="New folder for the records. \\[default: results/gate/runs/TIME]"),
    ] = None,
    only: Only = None,
    bytes_only: Annotated[bool, typer.Option("--bytes-only", help="Leave times out.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the result as Markdown, for a pull request.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and the progress as errors.")] = (
        False
    ),
) -> None:
    """Judge the code that is checked out: are bytes those of the baseline, and did no step become slower?

    The suite gate is measured. Bytes have to equal those of the committed baseline. Times, as ratios to BP, are
    compared with the baseline's on the machine of the baseline; elsewhere the baseline's code is measured, too.

    Exit codes: 0 no alarm; 1 an alarm; 2 refused, something could not be measured, or a file cannot be written; 130
    interrupted.
    """
    from bench.execute.gate import BASELINE_FILE, Gate, run_gate  # NumPy and SciPy take a moment to load
    from bench.execute.gate import renew as renew_baseline
    from bench.report.comparison import COLUMNS
    from bench.report.gate import about_baseline, alarm_rows, headline, said, to_json, to_markdown
    from bench.store.file import read_records

    place = folder or Path("results") / "gate" / "runs" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}"
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"--out {place} holds something; legal: a new folder")
    file = baseline or BASELINE_FILE
    asked = Gate(baseline=file, folder=place, base=base, only=tuple(only or ()), bytes_only=bytes_only)

    def tell(line: str) -> None:
        err.print(line, markup=False, highlight=False, soft_wrap=True)

    if renew is not None:
        given = {"--base": base, "--only": only, "--bytes-only": bytes_only, "--markdown": markdown, "--json": as_json}
        for name, value in given.items():
            if value:
                raise ConfigError(f"{name} with --renew, which measures everything; legal with it: --baseline, --out")
        with interruptible():
            renewed = renew_baseline(asked, renew, tell)
        out.print(
            f"{numbered(len(renewed), 'record')} in {file}, renewed because: {renew}", markup=False, highlight=False
        )
        return
    if markdown is not None:
        refuse_overlaps([("--markdown", markdown)], [file])
    with interruptible():
        decision = run_gate(asked, tell)
    records = list(read_records(file).latest.values())
    if as_json:
        out.print(to_json(decision, records), markup=False, highlight=False)
    else:
        out.print(about_baseline(records), markup=False, highlight=False, soft_wrap=True)
        out.print(headline(decision), markup=False, highlight=False, soft_wrap=True)
        if decision.alarms:
            print_rows(out, COLUMNS, alarm_rows(decision))
        for line in said(decision):
            tell(f"note: {line}")
    if markdown is not None:  # after all that is printed, which a file that cannot be written must not hide
        write_text(markdown, to_markdown(decision, records))
    if not decision.is_open:
        raise typer.Exit(EXIT_FAULT)
