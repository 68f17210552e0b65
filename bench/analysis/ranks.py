"""Rows of cells that ran on several ranks, and whether these are faster than one rank."""

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pandas as pd

from bench.analysis.ratio import log_ratios
from bench.analysis.series import series_names
from bench.analysis.statistics.comparison import Comparison, NotMeasured, Outcome
from bench.analysis.statistics.sentence import sample
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.units import estimate_over
from bench.analysis.statistics.verdict import Judged, Verdict, judge
from bench.store.measurements.ranks import Ranks

# Differences up to it do not matter: as in the claims on time.
MARGIN_PERCENT = 3.0

_WORDS: dict[Verdict, str] = {
    "better": "faster",
    "worse": "slower",
    "equivalent": f"same within {MARGIN_PERCENT:g} %",
}


def rows_on_several_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with results of several ranks, with a column ``verdict`` on their time compared with one rank.

    Their series omit the number of ranks: a figure draws it as an axis, and a table has a column for it.

    The verdict is ``faster``, ``slower``, ``same within 3 %`` or ``undecided``, with the sample in brackets. Rows that
    differ only in the seed are further processes; all cells are one family of comparisons. One process says nothing of
    others, so a cell of one is undecided, whatever the interval over its blocks.
    """
    if frame.empty:
        return frame
    rows = frame[frame["rank_results"].notna()]
    if rows.empty:
        return rows
    rows = rows.assign(series=series_names(rows.drop(columns="ranks")))
    cells = [part for _, part in rows.groupby(["group", "series", "ranks"], sort=False)]
    verdicts = pd.Series("", index=rows.index)
    for part, judged in zip(cells, judge([compared_with_one_rank(part) for part in cells]), strict=True):
        verdicts[part.index] = _text(judged)
    return rows.assign(verdict=verdicts)


def compared_with_one_rank(rows: pd.DataFrame) -> Comparison:
    """Return the comparison of the step time of one cell, whose rows are processes, with the same rule on one rank."""
    return Comparison(
        f"{rows.iloc[0]['series']}, {rows.iloc[0]['ranks']} ranks",
        "the same rule on one rank",
        STATISTICS["step_time"],
        _outcome(rows),
        MARGIN_PERCENT,
    )


def _outcome(rows: pd.DataFrame) -> Outcome:
    """Return the log-ratio to one rank over the rows of one cell, which are processes."""
    measured = rows[[results.ratio_to_one_rank is not None for results in rows["rank_results"]]]
    if measured.empty:
        return NotMeasured("not measured")
    quiet = measured[measured["latency.noisy_because"].isna()] if "latency.noisy_because" in measured else measured
    if quiet.empty:
        return NotMeasured("undecided (noisy)")
    return estimate_over("processes", [run for results in quiet["rank_results"] for run in _runs(results)])


def _runs(results: Ranks) -> list[Sequence[float]]:
    """Return the log-ratios of the blocks of each run; the ratio as one block where a record lacks them."""
    counts, blocks = results.one_rank_blocks_by_process, results.one_rank_blocks_seconds
    if counts is None or blocks is None:
        return [] if results.ratio_to_one_rank is None else [[math.log(results.ratio_to_one_rank)]]
    ends = list(accumulate(counts))
    return [list(log_ratios(np.array(blocks[end - count : end]))) for count, end in zip(counts, ends, strict=True)]


def _text(judged: Judged) -> str:
    outcome = judged.comparison.outcome
    if isinstance(outcome, NotMeasured):
        return outcome.because
    no_interval = ", which gives no interval" if judged.interval is None else ""
    return f"{_WORDS.get(judged.verdict, judged.verdict)} ({sample(judged)}{no_interval})"
