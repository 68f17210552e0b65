"""The agreement of repeated runs as tables, as Markdown and as JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bench.analysis.repetition import LEAST_COVERAGE, MOST_BEYOND, Repetition
from bench.analysis.statistics.consistency import Consistency
from bench.analysis.words import counted, numbered
from bench.config.label import label
from bench.report.markdown import markdown_table

_WORST = 10  # cells in the table; JSON holds all

# Each row of the table of agreement: its name, and the value of a set of records.
_ROWS: tuple[tuple[str, Callable[[Consistency], str]], ...] = (
    ("intervals", lambda of: f"{of.intervals}"),
    (
        f"hold their cell's grand median (aim: {100 * LEAST_COVERAGE:.0f} % or more)",
        lambda of: f"{100 * of.coverage:.1f} %",
    ),
    ("pairs of runs", lambda of: f"{of.pairs}"),
    (
        f"differ by |z| > 1.96, z by Welch's t test (aim: {100 * MOST_BEYOND:.0f} % or fewer)",
        lambda of: f"{100 * of.beyond:.1f} %",
    ),
    ("differ by |z| > 1.96, z over standard errors", lambda of: f"{100 * of.beyond_by_error:.1f} %"),
    ("differ by |z| > 1.96, z over half widths / 1.96", lambda of: f"{100 * of.beyond_by_width:.1f} %"),
)
NOTE = (
    "Few runs make the share that hold the median too large, because each takes part in it: with two runs, honest "
    "intervals give 98 %. Of pairs of honest intervals, 5 % differ by Welch's t test. With five processes a run, 8 to "
    "9 % differ if 1.96 standard errors are the limit, and 2 to 3 % if half a width is taken for 1.96 standard errors."
)


def agreement_rows(result: Repetition) -> list[list[str]]:
    """Return the table of agreement, its heading first: a row per quantity, a column per set of records."""
    sets = {"clean": result.clean, "clean, without BP itself": result.clean_without_bp, "all": result.every}
    rows = [["records", *sets]]
    rows += [[name, *("-" if of is None else show(of) for of in sets.values())] for name, show in _ROWS]
    return rows


def worst_rows(result: Repetition) -> list[list[str]]:
    """Return the table of the cells whose runs differ most, its heading first."""
    rows = [["pairs that differ", "noisy runs", "ratio to BP by run", "cell"]]
    for cell in [cell for cell in result.cells if cell.beyond][:_WORST]:
        ratios = ", ".join("-" if ratio is None else f"{ratio:.3f}" for ratio in cell.ratios)
        rows.append([f"{cell.beyond} of {cell.pairs}", str(cell.noisy), ratios, label(cell.cell)])
    return rows


def headline(result: Repetition) -> str:
    """Return the numbers of cells, runs and records as a sentence."""
    return (
        f"{result.runs} runs, {numbered(len(result.cells), 'cell')} in two or more of them, "
        f"{counted(result.records, 'latency', 'latencies')}, {result.noisy} noisy; "
        f"{counted(result.failed, 'record')} without a latency."
    )


def to_markdown(result: Repetition, sources: Sequence[str]) -> str:
    """Return the result as a page of Markdown.

    Args:
        result: the result.
        sources: the results files, one per run.
    """
    parts = ["# Repeated latencies", headline(result), _table(agreement_rows(result)), NOTE]
    worst = worst_rows(result)
    parts += ["## Cells whose runs differ most", _table(worst)] if len(worst) > 1 else ["No pair of runs differs."]
    parts += ["## Runs", "\n".join(f"- `{source}`" for source in sources)]
    return "\n\n".join(parts) + "\n"


def to_json(result: Repetition, sources: Sequence[str]) -> str:
    """Return the result as JSON, with every cell; shares are fractions."""

    def agreement(of: Consistency | None) -> dict[str, Any] | None:
        return None if of is None else {name: value for name, value in asdict(of).items() if name != "disagreements"}

    content = {
        "files": list(sources),
        **{name: getattr(result, name) for name in ("runs", "records", "noisy", "failed")},
        "aims": {"coverage": LEAST_COVERAGE, "beyond": MOST_BEYOND},
        **{name: agreement(getattr(result, name)) for name in ("clean", "clean_without_bp", "every")},
        "cells": [
            {
                "id": cell.cell.id,
                "label": label(cell.cell),
                "ratios": cell.ratios,
                "noisy": cell.noisy,
                "pairs": cell.pairs,
                "beyond": cell.beyond,
            }
            for cell in result.cells
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(rows[0], rows[1:])
