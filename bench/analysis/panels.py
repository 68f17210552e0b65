"""The panels of a figure: which rows a panel shows, and its title."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.frame import UNKNOWN
from bench.analysis.series import axis_text
from bench.config.axes import axes
from bench.config.datasets import known_dataset
from bench.config.networks import known_network

# The axes that the title of a cell names.
_IN_TITLE = {"network", "dataset", "depth", "modules", "cut", "batch_size", "hidden", "seed"}
# What the title of a panel names.
_OF_TITLE = ("network", "dataset", "image", "depth", "modules", "cut", "batch_size", "hidden", "layers_per_module")
# For each axis that a figure of costs draws: the sizes that it fixes.
_FIXED = {
    "depth": ["layers_per_module", "batch_size"],
    "batch_size": ["layers_per_module", "depth"],
    "modules": ["depth", "batch_size"],
}


_ROWS_TIMES_VIEWS = 4000
_FEWEST_VIEWS = 2


def most_views(rows: pd.DataFrame, usual: int) -> int:
    """Return how many views a figure of ``rows`` has at most: ``usual``, or fewer where there are many records.

    Each view takes about 0.2 s to draw. Its numbers are in the table of all cells in any case.
    """
    return min(usual, max(_FEWEST_VIEWS, _ROWS_TIMES_VIEWS // max(1, len(rows))))


def panel_axes() -> list[str]:
    """Return the axes that a figure of costs fixes within a panel, besides the axis that it draws."""
    return [name for name, row in axes().items() if row.panel]


def slices(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Select the rows of a figure over one axis, with a column ``panel`` that holds the title of each row's panel.

    Within a panel only ``axis`` varies. The axes of :func:`panel_axes` distinguish panels. The remaining sizes are
    fixed at the values with the most points on ``axis``; of equals, at those with the fewest layers per module, then
    at the largest values. Panels with fewer than two points are left out, so the result can be empty.

    Args:
        frame: rows of :func:`bench.analysis.frame.records_frame`.
        axis: ``depth``, ``batch_size`` or ``modules``.
    """
    fixed = _FIXED[axis]
    chosen: list[int] = []
    titles: list[str] = []
    for _, panel in _narrow(frame, [axis, *fixed, *panel_axes(), *_OF_TITLE]).groupby(
        panel_axes(), dropna=False, sort=True
    ):
        best = None
        for values, part in panel.groupby(fixed, sort=True):
            preference = {name: float(str(value)) for name, value in zip(fixed, values, strict=True)}
            if "layers_per_module" in preference:
                preference["layers_per_module"] *= -1
            key = (part[axis].nunique(), *preference.values())
            if best is None or key > best[0]:
                best = (key, part)
        if best is not None and best[0][0] > 1:
            chosen.extend(best[1].index)
            titles += [_panel_title(best[1], axis)] * len(best[1])
    rows = frame.iloc[chosen].assign(panel=titles)
    return rows.assign(panel=distinct_titles(rows["panel"], rows, panel_axes()))


def _narrow(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the columns ``names`` that ``frame`` has, its rows numbered: to select rows of many columns takes long."""
    return frame[[name for name in dict.fromkeys(names) if name in frame]].reset_index(drop=True)


def _panel_title(part: pd.DataFrame, axis: str) -> str:
    first = part.iloc[0]
    fixed = []
    if axis != "depth":
        fixed.append(f"depth {first['depth']}")
    if axis != "modules":
        fixed.append(module_size_text(first))
    if axis != "batch_size":
        fixed.append(f"batch {first['batch_size']}")
    fixed.append(f"hidden {first['hidden']}")
    return f"{first['network']} on {data_text(first)}\n{', '.join(fixed)}"


def module_size_text(row: pd.Series) -> str:
    """Return the size of a module: its number of layers, or the number of stages of the backbone."""
    network = known_network(row["network"])
    if network is not None and network.units is not None:
        return f"{row['modules']} {row['cut']} stages" if row["modules"] > 1 else "one stage"
    layers = row["depth"] / row["modules"]
    return "1 layer per module" if layers == 1 else f"{layers:g} layers per module"


def data_text(row: pd.Series | Mapping[Hashable, Any]) -> str:
    """Return the name of the data set, and the size of its images if the data set has no fixed size."""
    known = known_dataset(row["dataset"])
    image = row.get("image", UNKNOWN)
    return str(row["dataset"]) if image == UNKNOWN or (known and known.shape) else f"{row['dataset']} {image}"


def modules_text(row: pd.Series) -> str:
    """Return the number of modules, and the cut if it is not even."""
    return f"{row['modules']} {'module' if row['modules'] == 1 else 'modules'}" + (
        "" if row["cut"] == "even" else f", {row['cut']} cut"
    )


def cell_titles(rows: pd.DataFrame) -> list[str]:
    """Return the panel title of each row in a figure with one panel per cell; different cells have different titles."""
    data = [data_text(row) for row in _narrow(rows, ["dataset", "image"]).to_dict("records")]
    titles = rows["network"] + " on " + pd.Series(data, rows.index, dtype=object) + "\ndepth " + rows["depth"].map(str)
    titles += ", " + rows["modules"].map(str) + " modules" + (" " + rows["cut"]).where(rows["cut"] != "even", "")
    titles += ", batch " + rows["batch_size"].map(str) + ", hidden " + rows["hidden"].map(str)
    others = [name for name, row in axes().items() if row.paired and name not in _IN_TITLE]
    return list(distinct_titles(titles, rows, others))


def distinct_titles(titles: pd.Series, rows: pd.DataFrame, axes: Iterable[str]) -> pd.Series:
    """Append to ``titles`` the value of each of ``axes`` in which rows with one title differ."""
    for axis in axes:
        if axis in rows:
            values = rows[axis].map(axis_text)
            if values.nunique() < 2:
                continue
            several = values.groupby(titles).transform("nunique") > 1
            titles = titles.where(~several, titles + f"\n{axis.replace('_', ' ')} " + values)
    return titles
