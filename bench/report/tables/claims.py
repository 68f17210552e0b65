"""The tables of claims: those with a verdict, and those that the records do not test."""

from collections.abc import Sequence

import pandas as pd

from bench.analysis.inference.rows import ClaimRow

_UNMEASURED = "not measured"


def claims_table(rows: Sequence[ClaimRow]) -> pd.DataFrame:
    """Return one row per claim with a verdict, with the comparison that decides it; empty if there is none."""
    return pd.DataFrame(
        [
            {
                "claim": row.sentence,
                "verdict": row.verdict,
                "effect [interval]": row.effect,
                "sample": row.sample,
                "margin": row.margin,
                "controls": _controls(row),
                "reason": row.reason,
            }
            for row in rows
            if row.verdict != _UNMEASURED
        ]
    )


def unmeasured_claims_table(rows: Sequence[ClaimRow]) -> pd.DataFrame:
    """Return one row per claim of which a comparison is missing and none decides, with the reason."""
    unmeasured = [row for row in rows if row.verdict == _UNMEASURED]
    return pd.DataFrame(
        [{"claim": row.sentence, "controls": _controls(row), "reason": row.reason} for row in unmeasured]
    )


def _controls(row: ClaimRow) -> str:
    """Return each control and whether the claim holds against it, and which one decides."""
    if not row.controls:
        return "none"
    return "; ".join(
        f"{control.name}: {control.holds}{' (decides)' if control.decides else ''}" for control in row.controls
    )
