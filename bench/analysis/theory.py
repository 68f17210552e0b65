"""What SID's theory expects of the divergences of modules, from that of the first module."""

import pandas as pd

from bench.config.methods import known_method


def expected_divergences(rows: pd.DataFrame, points: pd.DataFrame) -> dict[str, tuple[list[int], list[float]]]:
    """Return the modules of each series and the divergence that each has where every one keeps its bound, nats.

    The optimum of the local objective has a divergence of at most ``1 - alpha`` times that of the module before. From
    the measured mean of module 1 on, that is a line over the modules. Series without that objective, in direction
    ``reverse``, with an alpha of 1, whose bound is 0, and without a divergence of module 1 are left out.

    Args:
        rows: of one configuration, with the columns ``series``, ``method``, ``direction``, ``alpha`` and ``modules``.
        points: mean divergences ``y`` with the columns ``series`` and ``module``.
    """
    lines = {}
    for series, own in points.groupby("series", sort=False):
        row = rows[rows["series"] == series].iloc[0]
        method = known_method(row["method"])
        first = own[own["module"] == 1]
        if method is None or not method.objective or row["direction"] != "forward" or first.empty:
            continue
        value, values = float(first["y"].iloc[0]), []
        for alpha in _alphas(row["alpha"], int(own["module"].max())):
            value *= 1 - alpha
            values.append(value)
        if values and min(values) > 0:
            lines[str(series)] = list(range(1, len(values) + 2)), [float(first["y"].iloc[0]), *values]
    return lines


def _alphas(alpha: float | tuple[float, ...] | None, modules: int) -> list[float]:
    """Return alpha of the modules from the second on; empty if it is unset."""
    if alpha is None or alpha != alpha:  # in a column of numbers, pandas stores None as NaN
        return []
    return list(alpha[1:modules]) if isinstance(alpha, tuple) else [alpha] * (modules - 1)
