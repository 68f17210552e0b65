"""Records as tidy pandas tables, each row paired with BP's on the same cell."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.methods import BASELINE
from bench.record import Record

# What may differ between a cell and the BP cell that it is held against: the rule, its alpha, and what was measured.
_NOT_PAIRED = ("method", "alpha", "passes", "latency_seconds")
# What a cost figure keeps fixed within a panel, besides the axis it draws.
PANEL = ("network", "dataset", "hidden", "width", "image_size", "channels", "classes", "optimizer", "device")

METHOD_ORDER = (
    "bp",
    "bp-checkpoint",
    "bp-label-smoothing",
    "deep-supervision",
    "sid-published",
    "sid-streamed-autograd",
    "sid-streamed",
)


def records_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: the cell's fields, and ``memory.*``, ``latency.*``, ``accuracy.*`` where they were measured.

    Adds ``layers_per_module``, ``series`` (the method, with what else tells its lines apart) and, paired with BP's
    record of the same cell, ``memory.activation_ratio`` and ``memory.total_ratio``.
    """
    rows = [_row(record) for record in records]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame["layers_per_module"] = frame["depth"] // frame["modules"]
    frame["series"] = series_names(frame)
    return _with_memory_ratios(frame)


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record.id, "status": record.status, "message": record.message}
    row |= record.cell.model_dump()
    row["pair"] = repr(sorted((k, v) for k, v in record.cell.model_dump().items() if k not in _NOT_PAIRED))
    row["group"] = repr(sorted((k, v) for k, v in record.cell.model_dump().items() if k not in (*_NOT_PAIRED, "seed")))
    for part in ("memory", "latency", "accuracy"):
        measured = getattr(record, part)
        row[f"has_{part}"] = measured is not None
        if measured is not None:
            content = measured.model_dump(exclude={"epochs", "blocks_seconds"})
            row |= {f"{part}.{name}": value for name, value in content.items()}
    return row


def series_names(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's line in a figure: its method, and alpha where the method comes with several."""
    alphas = frame["alpha"].map(str)
    several = alphas.groupby(frame["method"]).transform("nunique") > 1
    return frame["method"].where(~several, frame["method"] + " alpha " + alphas)


def _with_memory_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    if not frame["has_memory"].any():
        return frame
    measured = frame[frame["has_memory"]]
    baseline = measured[measured["method"] == BASELINE].drop_duplicates("pair").set_index("pair")
    for name, column in (("activation", "peak_activation_bytes"), ("total", "peak_total_bytes")):
        frame[f"memory.{name}_ratio"] = frame[f"memory.{column}"] / frame["pair"].map(baseline[f"memory.{column}"])
    return frame


def ordered_series(frame: pd.DataFrame) -> list[str]:
    """The series of ``frame``: known methods in their usual order, others behind."""
    firsts = frame.drop_duplicates("series")

    def rank(item: tuple[str, str]) -> tuple[int, str]:
        series, method = item
        return (METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER), series)

    return [series for series, _ in sorted(zip(firsts["series"], firsts["method"], strict=True), key=rank)]


def slices(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The rows that a figure over ``axis`` (``depth``, ``batch_size`` or ``modules``) draws.

    A figure can vary one axis only. In each panel (the fields of :data:`PANEL`) the other axes are held at the values
    that leave the most points on ``axis``; of equals, at the fewest layers a module, then the largest values. Returns
    the rows with a column ``panel`` that says what was held; no row where no panel has two points.
    """
    held = {
        "depth": ["layers_per_module", "batch_size"],
        "batch_size": ["layers_per_module", "depth"],
        "modules": ["depth", "batch_size"],
    }[axis]
    chosen = []
    panel_fields = list(PANEL)
    for _, panel in frame.groupby(panel_fields, dropna=False, sort=True):
        best = None
        for values, part in panel.groupby(held, sort=True):
            preference = {name: int(str(value)) for name, value in zip(held, values, strict=True)}
            if "layers_per_module" in preference:
                preference["layers_per_module"] *= -1
            key = (part[axis].nunique(), *preference.values())
            if best is None or key > best[0]:
                best = (key, part)
        if best is not None and best[0][0] > 1:
            chosen.append(best[1].assign(panel=_panel_title(best[1], axis)))
    return pd.concat(chosen) if chosen else frame.iloc[0:0].assign(panel="")


def _panel_title(part: pd.DataFrame, axis: str) -> str:
    first = part.iloc[0]
    held = []
    if axis != "depth":
        held.append(f"depth {first['depth']}")
    if axis != "modules":
        layers = first["layers_per_module"]
        held.append("1 layer a module" if layers == 1 else f"{layers} layers a module")
    if axis != "batch_size":
        held.append(f"batch {first['batch_size']}")
    held.append(f"hidden {first['hidden']}")
    return f"{first['network']} on {first['dataset']}\n{', '.join(held)}"
