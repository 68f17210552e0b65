"""The page: reads results files, renders tables and figures into one HTML file."""

import base64
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.errors import StoreError
from bench.files import write_text
from bench.record import Record
from bench.report.figures import draw_figures, with_own_ids
from bench.report.frame import records_frame
from bench.report.tables import accuracy_table, cost_table, failure_table, growth_table, summary_table
from bench.store import read_records


def write_report(
    files: Sequence[Path], page: Path, figures_folder: Path | None = None, markdown: Path | None = None
) -> pd.DataFrame:
    """Writes the report on ``files`` to ``page``, and on wish its figures and its summary table.

    Returns:
        The summary table, a row a network and method.

    Raises:
        StoreError: a file cannot be read or is not a results file, there is no record, or nothing can be written.
    """
    records, warnings = _read(files)
    frame = records_frame(records)
    measured = frame[frame["status"] == "ok"]
    summary, summary_note = summary_table(measured)
    figures = draw_figures(measured)
    html = _template().render(
        title=", ".join(sorted({record.suite for record in records})),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=[str(file) for file in files],
        warnings=warnings,
        counts=frame["status"].value_counts().to_dict(),
        summary=summary,
        summary_note=summary_note,
        growth=growth_table(measured),
        figures=figures,
        costs=cost_table(measured),
        accuracies=accuracy_table(measured),
        failures=failure_table(frame),
        environments=_environments(records),
        records_base64=base64.b64encode("".join(f"{record.line()}\n" for record in records).encode()).decode(),
    )
    write_text(page, html)
    if figures_folder is not None:
        for figure in figures:
            write_text(figures_folder / f"{figure.name}.svg", figure.svg)
    if markdown is not None:
        write_text(markdown, f"{to_markdown(summary)}\n\n{summary_note}.\n")
    return summary


def _read(files: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """The records of all files, each id once, and what a reader should know of them."""
    warnings = []
    latest: dict[str, Record] = {}
    superseded = 0
    for file in files:
        contents = read_records(file)
        if contents.damaged_tail:
            warnings.append(f"The last line of {file} was cut short and is left out.")
        for record in contents.records:
            known = latest.get(record.id)
            superseded += known is not None
            if known is None or known.created <= record.created:
                latest[record.id] = record
    if not latest:
        raise StoreError(f"no record in {', '.join(str(file) for file in files)}: nothing to report")
    if superseded:
        warnings.append(f"{superseded} records are left out because their cell was measured again later.")
    if len({json.dumps(_machine(record), sort_keys=True) for record in latest.values()}) > 1:
        warnings.append(
            "The records come from more than one machine or set-up: absolute times are not comparable between them, "
            "ratios to BP are taken within one process and are."
        )
    return list(latest.values()), warnings


def _machine(record: Record) -> dict[str, object]:
    """The part of the environment that times depend on."""
    return {name: value for name, value in record.environment.items() if name not in ("commit", "sid_bench")}


def _environments(records: Iterable[Record]) -> list[tuple[dict[str, str], int]]:
    """The distinct environments, each with the number of its records."""
    counted: dict[str, int] = {}
    for record in records:
        key = json.dumps({name: _show(value) for name, value in record.environment.items()})
        counted[key] = counted.get(key, 0) + 1
    return [(json.loads(key), count) for key, count in counted.items()]


def _show(value: object) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)


def to_markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["inline_svg"] = lambda figure: Markup(with_own_ids(figure.svg, figure.name))  # noqa: S704
    environment.globals["style"] = Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))  # noqa: S704
    return environment.get_template("page.html.j2")
