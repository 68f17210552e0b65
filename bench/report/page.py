"""The page: reads results files, renders tables and figures into one HTML file."""

import base64
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.analysis.frame import records_frame
from bench.errors import StoreError
from bench.report.figures.costs import draw_figures
from bench.report.figures.drawing import with_own_ids
from bench.report.figures.ranks import draw_ranks, ranks_table
from bench.report.figures.schedule import draw_schedules, locking_table
from bench.report.figures.timeline import draw_timelines
from bench.report.tables.layouts import layouts_table
from bench.report.tables.measured import (
    DISAGREEMENT_LIMIT,
    accuracy_table,
    category_table,
    cost_table,
    failure_table,
    growth_table,
    noise_table,
)
from bench.report.tables.summary import summary_table
from bench.store.file import read_records
from bench.store.record import Record
from bench.store.text_file import write_text

# What says who measured, when and with what luck, but does not make it another machine.
_NOT_THE_MACHINE = ("commit", "sid_bench", "command", "doctor")


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
    warnings += _contradictions(measured)
    summary, summary_note = summary_table(measured)
    figures = [*draw_figures(measured), *draw_timelines(measured)]
    schedules = draw_schedules(measured)
    over_ranks = draw_ranks(measured)
    rank_figures = [] if over_ranks is None else [over_ranks]
    html = _template().render(
        title=", ".join(sorted({record.suite for record in records})),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=[str(file) for file in files],
        warnings=warnings,
        findings=_findings(records),
        records_count=len(records),
        counts=frame["status"].value_counts().to_dict(),
        summary=summary,
        summary_note=summary_note,
        growth=growth_table(measured),
        layouts=set(measured["layout"]),
        both_layouts=layouts_table(measured),
        figures=figures,
        schedules=schedules,
        locking=locking_table(measured),
        rank_figures=rank_figures,
        ranks=ranks_table(measured),
        costs=cost_table(measured),
        categories=category_table(measured),
        noisy=noise_table(measured),
        accuracies=accuracy_table(measured),
        failures=failure_table(frame),
        environments=_environments(records),
        records_base64=base64.b64encode("".join(f"{record.line()}\n" for record in records).encode()).decode(),
    )
    write_text(page, html)
    if figures_folder is not None:
        for figure in [*figures, *schedules, *rank_figures]:
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


def _contradictions(measured: pd.DataFrame) -> list[str]:
    """Says how often the two memory instruments contradict each other."""
    if "memory.allocator.disagreement" not in measured:
        return []
    differing = int((measured["memory.allocator.disagreement"].abs() > DISAGREEMENT_LIMIT).sum())
    if not differing:
        return []
    return [
        f"In {differing} records the allocator counts {100 * DISAGREEMENT_LIMIT:g} % more or less than the exact "
        "instrument, workspaces inside operators apart; the table of costs shows where."
    ]


def _machine(record: Record) -> dict[str, object]:
    """The part of the environment that times depend on.

    Threads that the cell asks for, and so the CPUs that they are bound to, belong to the cell and not to the machine.
    """
    machine = {name: value for name, value in record.environment.items() if name not in _NOT_THE_MACHINE}
    if record.cell.threads is not None:
        machine.pop("threads", None)
    return machine | {"pinned_cpus": bool(record.environment.get("pinned_cpus"))}


def _findings(records: Iterable[Record]) -> list[tuple[str, int, str]]:
    """What warned while cells ran: the name of each check, on how many records, and what it found first."""
    counted: dict[str, tuple[int, str]] = {}
    for record in records:
        found = record.environment.get("doctor")
        for name, text in found.items() if isinstance(found, dict) else ():
            count, first = counted.get(name, (0, _show(text)))
            counted[name] = (count + 1, first)
    return [(name, count, first) for name, (count, first) in counted.items()]


def _environments(records: Iterable[Record]) -> list[tuple[dict[str, str], int]]:
    """The distinct environments, each with the number of its records; what the doctor found is summed up in one."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        shown = {name: _show(value) for name, value in record.environment.items() if name != "doctor"}
        groups.setdefault(json.dumps(shown), []).append(record)
    return [(json.loads(key) | _doctor(group), len(group)) for key, group in groups.items()]


def _doctor(records: Sequence[Record]) -> dict[str, str]:
    """The line of an environment that says what the doctor found; none where no record says."""
    if not any("doctor" in record.environment for record in records):
        return {}
    found = [f"{name}: {first} ({count} of {len(records)})" for name, count, first in _findings(records)]
    return {"doctor": "; ".join(found) or "no warning"}


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_show(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_show, value)) or "none"
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
