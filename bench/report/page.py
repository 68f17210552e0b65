"""The page: reads results files and renders tables and figures into one HTML file."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from bench.analysis.again import measured_again
from bench.analysis.bp_times import disagreements_on_bp, drift_of_bp
from bench.analysis.files import read_files
from bench.analysis.frame import records_frame
from bench.analysis.inference.rows import claim_rows
from bench.machine.system import printable
from bench.report.environments import count_machines, distinct_environments, doctor_findings
from bench.report.figures.accuracy import draw_accuracies
from bench.report.figures.costs import draw_costs
from bench.report.figures.ranks import draw_ranks
from bench.report.figures.schedule import draw_schedules
from bench.report.figures.style import Figure, drawing, with_own_ids
from bench.report.figures.timeline import draw_timelines
from bench.report.figures.tradeoff import draw_tradeoff
from bench.report.tables.accuracy import accuracy_table
from bench.report.tables.again import again_table
from bench.report.tables.claims import claims_table, unmeasured_claims_table
from bench.report.tables.costs import DISAGREEMENT_LIMIT, cost_table, unreliable_latency_table
from bench.report.tables.failures import failure_table
from bench.report.tables.inference import inference_table
from bench.report.tables.layouts import layouts_table
from bench.report.tables.locking import locking_table
from bench.report.tables.memory import category_table, growth_table
from bench.report.tables.ranks import ranks_table
from bench.report.tables.summary import summary_table
from bench.store.text_file import refuse_overlaps, write_text


def write_report(
    files: Sequence[Path],
    page: Path,
    figures_folder: Path | None = None,
    markdown: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Write the report on ``files`` to ``page``.

    Args:
        files: results files; of records with one id, :func:`bench.store.latest.latest_records` says which is used.
        page: the HTML file to write.
        figures_folder: a folder for the figures as SVG files; None writes none.
        markdown: a file for the summary table as Markdown; None writes none.
        warn: is called with each warning of the page when the page is written.

    Returns:
        The summary table, with one row per network and method.

    Raises:
        StoreError: a file cannot be read, is not a results file, or cannot be written; an output is an input or another
            output; or there is no record.
    """
    contents, records, warnings = read_files(files)
    if count_machines(records) > 1:
        warnings.append(
            "The records come from more than one machine or configuration. Absolute times cannot be compared between "
            "them; ratios to BP can, because each was measured within one process."
        )
    drift = [drift.sentence for drift in drift_of_bp(records)]
    drift += [disagreement.sentence for disagreement in disagreements_on_bp(records)]
    frame = records_frame(records)
    measured = frame[frame["status"] == "ok"]
    warnings += _disagreements(measured)
    claims = claim_rows(records)
    summary, summary_note = summary_table(measured)
    figures = draw_figures(measured)
    schedules = draw_schedules(measured)
    rank_figures = draw_ranks(measured)
    html = _template().render(
        title=", ".join(sorted({record.suite for record in records})),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=[str(file) for file in files],
        warnings=warnings,
        findings=doctor_findings(records),
        records_count=len(records),
        counts=frame["status"].value_counts().to_dict(),
        claims=claims_table(claims),
        unmeasured_claims=unmeasured_claims_table(claims),
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
        unreliable=unreliable_latency_table(measured),
        drift=drift,
        again=again_table(cell for content in contents for cell in measured_again(content.records)),
        accuracies=accuracy_table(measured),
        predictions=inference_table(measured),
        failures=failure_table(frame),
        environments=distinct_environments(records),
        records_base64=base64.b64encode("".join(f"{record.line()}\n" for record in records).encode()).decode(),
    )
    outputs = [("the page", page, html)]
    if figures_folder is not None:
        drawn = [*figures, *schedules, *rank_figures]
        outputs += [("the figure", figures_folder / _file_name(figure), figure.svg) for figure in drawn]
    if markdown is not None:
        outputs.append(("the summary", markdown, f"{to_markdown(summary)}\n\n{summary_note}.\n"))
    refuse_overlaps([(name, path) for name, path, _ in outputs], files)
    for _, path, text in outputs:
        write_text(path, text)
    if warn is not None:
        for warning in (*warnings, *drift):
            warn(warning)
    return summary


def draw_figures(frame: pd.DataFrame) -> list[Figure]:
    """Return the figures of costs and accuracies that ``frame`` has data for, in the order of the page."""
    if frame.empty:
        return []
    with drawing():
        return [
            *draw_costs(frame),
            *draw_tradeoff(frame),
            *draw_accuracies(frame),
            *draw_timelines(frame),
        ]


def _file_name(figure: Figure) -> str:
    """Return the name of the file of ``figure``, whose own name may contain the path of a network's file."""
    name = re.sub(r"[^\w.-]", "-", figure.name, flags=re.ASCII)
    if name != figure.name:  # then two figures may have it
        name = f"{name[:100]}-{hashlib.sha256(printable(figure.name).encode()).hexdigest()[:8]}"
    return f"{name}.svg"


def _disagreements(measured: pd.DataFrame) -> list[str]:
    """Return a warning with the number of records in which the two memory instruments disagree."""
    if "memory.allocator.disagreement" not in measured:
        return []
    differing = int((measured["memory.allocator.disagreement"].abs() > DISAGREEMENT_LIMIT).sum())
    if not differing:
        return []
    return [
        f"In {differing} records, the allocator's count without workspaces differs from the exact count by more than "
        f"{100 * DISAGREEMENT_LIMIT:g} %; the table of memory and latency shows which."
    ]


def to_markdown(table: pd.DataFrame) -> str:
    """Return ``table`` as Markdown."""
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
