"""What fits, as a table, as Markdown, as CSV and as JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bench.analysis.numbers import mebibytes, times
from bench.analysis.statistics.estimate import Interval
from bench.analysis.words import counted
from bench.config.axes import value_of
from bench.plan.fit.answer import answer
from bench.plan.fit.errors import PredictionError, StepTime
from bench.plan.fit.fitting import Fit, Fits
from bench.plan.grid import memory_axes
from bench.plan.rows import Row, batch_text, to_csv
from bench.plan.tasks import BATCH_LIMIT
from bench.report.markdown import markdown_table

NOT_MEASURED = "not measured"

# The kinds of bytes, each with what it is in a Memory.
_KINDS: tuple[tuple[str, Callable[[Fit], int]], ...] = (
    ("activations", lambda row: row.planned.memory.peak_activation_bytes),
    ("parameters", lambda row: row.planned.memory.parameter_bytes + row.planned.memory.buffer_bytes),
    ("gradients", lambda row: row.planned.memory.gradient_bytes),
    ("optimizer", lambda row: row.planned.memory.optimizer_bytes),
    ("batch", lambda row: row.planned.memory.input_bytes),
)


def table_rows(fits: Fits) -> list[list[str]]:
    """Return the table as text, its heading first; bytes are MiB at the batch that was asked for.

    The rule with the largest batch within the first budget stands first, then within the second.
    """
    is_cuda = fits.allowance.kind == "cuda"
    several = len({row.cell.batch_size for row in fits.rows}) > 1
    batch = "the batch" if several else f"batch {fits.rows[0].cell.batch_size:,}"
    heading = ["rule", f"{batch} fits", *(f"largest batch, {budget.text}" for budget in fits.budgets)]
    heading += [*(["needs"] if is_cuda else []), "predicted", *(name for name, _ in _KINDS), "of these heads"]
    rows = [[*heading, "error where the rule was measured", "time / BP"]]
    for row in sorted(fits.rows, key=_batches, reverse=True):
        line = [row.name, _fits_text(row, fits), *map(_batch_text, _batches(row))]
        line += [_mebibytes(row.needed_bytes)] if is_cuda else []
        line += [_mebibytes(row.planned.memory.peak_total_bytes), *(_mebibytes(of(row)) for _, of in _KINDS)]
        line += [_mebibytes(row.planned.head_bytes), error_text(row.error, fits.network), time_text(row.time)]
        rows.append(line)
    return rows


def notes(fits: Fits) -> list[str]:
    """Return what a reader of the table must know, a sentence or two each."""
    allowance = fits.allowance
    found = [
        "Bytes are MiB. An error is what was measured divided by the prediction, minus 1, the largest of its cells."
    ]
    if all(row.error is None or row.error.network != fits.network for row in fits.rows):
        found.append(f"{fits.network} was not measured: the errors are those of other networks. --measure measures it.")
    if allowance.kind == "cpu":
        found.append(
            "Budgets are compared with the tensors of the step, counted exactly. "
            + _workspace_text([row.error for row in fits.rows])
            + "What Python and PyTorch take for themselves is not counted."
        )
        return found
    context = (
        f"{mebibytes(allowance.context_bytes)} MiB for CUDA's context and libraries (the most on "
        f"{counted(allowance.context_cells, 'cell')})"
        if allowance.context_cells
        else "nothing for CUDA's context and libraries, which were not measured"
    )
    found.append(
        f"'needs' is the prediction, {context}, and for workspaces the error of the rule's prediction. Where the rule "
        f"was not measured with these settings, that is the largest error of all rules here, "
        f"{100 * allowance.usual_share:.1f} %. Memory that PyTorch's allocator keeps and does not use is not counted; "
        "it gives that back before a step fails."
    )
    return found


def error_text(error: PredictionError | None, network: str) -> str:
    """Return how far predictions of a rule for ``network`` were off, and on which network that was measured."""
    if error is None:
        return NOT_MEASURED
    where = "this network" if error.network == network else error.network
    settings = f", {error.settings}" if error.settings else ""
    share = f"{100 * error.share:+z.1f} %" if error.share else "0 %"
    return f"{share} on {where} ({counted(error.cells, 'cell')}{settings})"


def time_text(time: StepTime | None) -> str:
    """Return the relative time with its interval and where it was measured."""
    if time is None:
        return NOT_MEASURED
    noisy = ", noisy" if time.is_noisy else ""
    return f"{times(time.ratio, Interval(*time.ci95))} (batch {time.batch_size:,}{noisy})"


def to_markdown(fits: Fits) -> str:
    """Return the answer, the table, the notes, and what was refused."""
    heading, *rows = table_rows(fits)
    parts = [*answer(fits), markdown_table(heading, rows), *notes(fits)]
    if fits.refused:
        parts.append("\n".join(f"- Not planned: `{refusal.what}`: {refusal.reason}" for refusal in fits.refused))
    return "\n\n".join(parts) + "\n"


def to_csv_text(fits: Fits) -> str:
    """Return the rows as CSV, with bytes and shares as numbers; what was not measured is empty."""
    return to_csv([_csv_row(row, fits) for row in fits.rows])


def to_json(fits: Fits) -> str:
    """Return everything as JSON; bytes are integers, shares and ratios are fractions, null was not measured.

    The largest batch is 0 where none fits, and at most :data:`bench.plan.tasks.BATCH_LIMIT`.
    """
    content = {
        "network": fits.network,
        "device": fits.device,
        "budgets": [asdict(budget) for budget in fits.budgets],
        "allowance": asdict(fits.allowance),
        "any_fits": fits.any_fits,
        "rows": [_json_row(row, fits) for row in fits.rows],
        "refused": [asdict(refusal) for refusal in fits.refused],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _json_row(row: Fit, fits: Fits) -> dict[str, Any]:
    return {
        "rule": row.name,
        "cell": {name: value_of(row.cell, name) for name in memory_axes()},
        "bytes": _bytes(row),
        "allowance_share": fits.allowance.share(row.error),
        "budgets": [
            {
                "budget": budget.text,
                "fits": does_fit,
                "largest_batch": largest.batch,
                "largest_batch_bytes": largest.total_bytes,
                "next_batch_bytes": largest.next_total_bytes,
            }
            for budget, does_fit, largest in zip(fits.budgets, row.fits, row.planned.largest, strict=True)
        ],
        "prediction_error": None if row.error is None else asdict(row.error),
        "time": None if row.time is None else asdict(row.time),
    }


def _csv_row(row: Fit, fits: Fits) -> Row:
    columns: Row = {"rule": row.name} | {name: value_of(row.cell, name) for name in memory_axes()}
    for budget, does_fit, batch in zip(fits.budgets, row.fits, _batches(row), strict=True):
        columns |= {f"fits_{budget.text}": does_fit, f"largest_batch_{budget.text}": batch_text(batch)}
    columns |= {f"{name}_bytes": size for name, size in _bytes(row).items()}
    error, time = row.error, row.time
    columns |= {
        f"error_{name}": None if error is None else getattr(error, name)
        for name in ("share", "allocator_share", "cells", "network", "settings", "machine")
    }
    low, high = (None, None) if time is None else time.ci95
    columns |= {"time_ratio": None if time is None else time.ratio, "time_low": low, "time_high": high}
    columns |= {
        f"time_{name}": None if time is None else getattr(time, name)
        for name in ("batch_size", "processes", "is_noisy", "machine")
    }
    return columns


def _bytes(row: Fit) -> dict[str, int]:
    kinds = {name: of(row) for name, of in _KINDS}
    return {**kinds, "heads": row.planned.head_bytes, "total": sum(kinds.values()), "needed": row.needed_bytes}


def _mebibytes(size: int) -> str:
    text = mebibytes(size)
    return f"{int(text):,}" if text.isdigit() else text


def _batches(row: Fit) -> list[int]:
    return [largest.batch for largest in row.planned.largest]


def _batch_text(batch: int) -> str:
    return "none" if batch == 0 else f"> {BATCH_LIMIT:,}" if batch == BATCH_LIMIT else f"{batch:,}"


def _fits_text(row: Fit, fits: Fits) -> str:
    if len(row.fits) == 1:
        return "yes" if row.fits[0] else "no"
    within = [budget.text for budget, does_fit in zip(fits.budgets, row.fits, strict=True) if does_fit]
    return ", ".join(within) or "no"


def _workspace_text(errors: Sequence[PredictionError | None]) -> str:
    shares = [error.allocator_share for error in errors if error is not None and error.allocator_share is not None]
    if not shares:
        return ""
    return f"With workspaces inside operators, the allocator handed out up to {100 * max(shares):.1f} % more. "
