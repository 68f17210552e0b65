"""Records as tidy pandas tables, each row paired with BP's on the same cell."""

from collections.abc import Iterable
from math import prod
from typing import Any

import pandas as pd

from bench.analysis.bounds import lower_bound_bytes
from bench.config.alpha import alpha_text
from bench.config.axes import axes, unpaired, values_of
from bench.config.check import is_baseline
from bench.config.datasets import known_dataset
from bench.config.methods import known_method
from bench.config.networks import known_network
from bench.store.record import Allocator, CreatedBytes, Memory, Record

# What the records of one configuration may differ in, besides their rule: they are its noise and its seeds.
_VARIED = ("seed", "noise_kind", "noise_rate")

UNKNOWN = "unknown"

# Parts of a memory measurement that have parts of their own.
_NESTED = ("at_peak", "allocator", "timeline")


def panel_axes() -> list[str]:
    """The axes that a figure of costs keeps fixed within a panel, besides the axis that it draws."""
    return [name for name, row in axes().items() if row.panel]


def records_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: the cell's fields, and ``memory.*``, ``latency.*``, ``accuracy.*`` where they were measured.

    Adds ``layout`` (cascade or pipeline), ``image`` (channels, height, width), ``pixels`` (their product), ``ranks``
    (how many), ``layers_per_module``, ``configuration`` (what records that differ in rule, seed and noise share),
    ``series`` (the method, with what else tells its lines apart) and, paired with BP's record of the same cell,
    ``memory.activation_ratio`` and ``memory.total_ratio``. Of several ranks, bytes are those of the one that holds
    most, of activations and in all. ``trace`` holds a :class:`bench.store.record.Trace` and ``rank_results`` a
    :class:`bench.store.record.Ranks`, or None. Where BP's own latency is noisy, ``latency.noisy_because`` says so for
    every method on the same cell.
    """
    rows = [_row(record) for record in records]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame["layers_per_module"] = frame["depth"] / frame["modules"]
    frame["series"] = series_names(frame)
    return _with_noise_of_bp(_with_memory_ratios(frame))


def _row(record: Record) -> dict[str, Any]:
    values = values_of(record.cell)
    row: dict[str, Any] = {"id": record.id, "status": record.status, "message": record.message} | values
    row["layout"] = layout(record.cell.network)
    row["is_baseline"] = is_baseline(record.cell)
    row["image"] = UNKNOWN if record.data is None else "x".join(map(str, record.data.shape))
    row["pixels"] = 0 if record.data is None else prod(record.data.shape)
    paired = {name: value for name, value in values.items() if name not in unpaired()}
    row["configuration"] = _text_of(paired, _VARIED)
    row["ranks"] = row.get("ranks", 1) if record.ranks is None else len(record.ranks.modules)
    row |= {"trace": record.trace, "rank_results": record.ranks}
    row["pair"] = _text_of(paired)
    row["group"] = _text_of(paired, ("seed",))
    for part in ("memory", "latency", "accuracy"):
        measured = getattr(record, part)
        row[f"has_{part}"] = measured is not None
        if measured is not None:
            content = measured.model_dump(exclude={"epochs", "blocks_seconds", *_NESTED})
            content |= content.pop("shares", None) or {}
            row |= {f"{part}.{name}": value for name, value in content.items()}
    if record.accuracy is not None:
        row["accuracy.by_epoch"] = [epoch.test for epoch in record.accuracy.epochs]
    if record.memory is not None:
        row |= _memory_in_detail(record, record.memory)
        if record.ranks is not None and record.ranks.peak_total_bytes is not None:
            row["memory.peak_total_bytes"] = max(record.ranks.peak_total_bytes)
    return row


def _text_of(values: dict[str, Any], without: Iterable[str] = ()) -> str:
    """``values`` as a text that is the same for equal values."""
    return repr(sorted((name, value) for name, value in values.items() if name not in without))


def layout(network: str) -> str:
    """``pipeline``, ``cascade``, or ``unknown`` for a network that this installation does not know by its name."""
    row = known_network(network)
    return UNKNOWN if row is None or row.layout is None else row.layout


def _memory_in_detail(record: Record, memory: Memory) -> dict[str, Any]:
    """Columns for what only records of schema 2 hold, and for the bound; None where there is none."""
    columns: dict[str, Any] = {f"memory.at_peak.{name}": None for name in CreatedBytes.model_fields}
    columns |= {f"memory.allocator.{name}": None for name in Allocator.model_fields}
    for name in _NESTED[:2]:
        nested = getattr(memory, name)
        if nested is not None:
            columns |= {f"memory.{name}.{field}": value for field, value in nested.model_dump().items()}
    columns["memory.timeline"] = memory.timeline.model_dump() if memory.timeline else None
    bound = lower_bound_bytes(record.cell, record.data.shape, record.data.classes) if record.data else None
    columns["memory.over_bound"] = memory.peak_activation_bytes / bound if bound else None
    return columns


def series_names(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's line in a figure: its method, and what else tells its lines apart.

    The table of axes says which axes a name holds: some wherever they are not at their default, and some only where the
    method comes with several values. The number of ranks follows where it is not one.
    """
    names = frame["method"]
    for axis, row in axes().items():
        if axis not in frame or row.series == "never":  # a plan has no column for what memory does not depend on
            continue
        values = frame[axis].map(_axis_text)
        text = f" {axis.replace('_', '-')} " + values
        if row.series == "unless default":
            names = names.where(values == _axis_text(row.default), names + text)
        else:
            apart = [frame["method"], frame["direction"]] if axis == "smoothing" else frame["method"]
            several = values.groupby(apart).transform("nunique") > 1
            names = names.where(~several, names + text)
    if "ranks" in frame:
        names = names.where(frame["ranks"] == 1, names + ", " + frame["ranks"].map(str) + " ranks")
    return names


def _axis_text(value: Any) -> str:
    if value is None or value != value:  # pandas makes NaN of a None among numbers
        return "unset"
    return alpha_text(value) if isinstance(value, float | tuple) else str(value).lower()


def _with_memory_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    if not frame["has_memory"].any():
        return frame
    measured = frame[frame["has_memory"]]
    baseline = measured[measured["is_baseline"]].drop_duplicates("pair").set_index("pair")
    for name, column in (("activation", "peak_activation_bytes"), ("total", "peak_total_bytes")):
        frame[f"memory.{name}_ratio"] = frame[f"memory.{column}"] / frame["pair"].map(baseline[f"memory.{column}"])
    return frame


def _with_noise_of_bp(frame: pd.DataFrame) -> pd.DataFrame:
    """Marks the latencies beside a noisy one of BP: what disturbed BP against itself may have disturbed them."""
    if not frame["has_latency"].any():
        return frame
    noisy = frame[frame["latency.noisy_because"].notna()]
    reasons = noisy[noisy["is_baseline"]].drop_duplicates("pair").set_index("pair")["latency.noisy_because"]
    if reasons.empty:
        return frame
    of_bp = frame["pair"].map(reasons).map("BP's own cell is noisy: {}".format, na_action="ignore")
    return frame.assign(**{"latency.noisy_because": frame["latency.noisy_because"].fillna(of_bp)})


def method_place(method: str) -> float:
    """The place of a method in tables and figures; infinite for one that has none."""
    row = known_method(method)
    return float("inf") if row is None or row.order is None else row.order


def ordered_series(frame: pd.DataFrame) -> list[str]:
    """The series of ``frame``: known methods in their usual order, others after them."""
    firsts = frame.drop_duplicates("series")

    def rank(item: tuple[str, str]) -> tuple[float, str]:
        series, method = item
        return method_place(method), series

    return [series for series, _ in sorted(zip(firsts["series"], firsts["method"], strict=True), key=rank)]


def slices(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The rows that a figure over ``axis`` (``depth``, ``batch_size`` or ``modules``) draws.

    A figure can vary one axis only. In each panel (:func:`panel_axes`) the other axes are held at the values
    that leave the most points on ``axis``; of equals, at the fewest layers a module, then the largest values. Returns
    the rows with a column ``panel`` that says what was held; no row where no panel has two points.
    """
    held = {
        "depth": ["layers_per_module", "batch_size"],
        "batch_size": ["layers_per_module", "depth"],
        "modules": ["depth", "batch_size"],
    }[axis]
    chosen = []
    for _, panel in frame.groupby(panel_axes(), dropna=False, sort=True):
        best = None
        for values, part in panel.groupby(held, sort=True):
            preference = {name: float(str(value)) for name, value in zip(held, values, strict=True)}
            if "layers_per_module" in preference:
                preference["layers_per_module"] *= -1
            key = (part[axis].nunique(), *preference.values())
            if best is None or key > best[0]:
                best = (key, part)
        if best is not None and best[0][0] > 1:
            chosen.append(best[1].assign(panel=_panel_title(best[1], axis)))
    if not chosen:
        return frame.iloc[0:0].assign(panel="")
    rows = pd.concat(chosen)
    return rows.assign(panel=tell_apart(rows["panel"], rows, panel_axes()))


def _panel_title(part: pd.DataFrame, axis: str) -> str:
    first = part.iloc[0]
    held = []
    if axis != "depth":
        held.append(f"depth {first['depth']}")
    if axis != "modules":
        held.append(share_text(first))
    if axis != "batch_size":
        held.append(f"batch {first['batch_size']}")
    held.append(f"hidden {first['hidden']}")
    return f"{first['network']} on {data_text(first)}\n{', '.join(held)}"


def share_text(row: pd.Series) -> str:
    """How much of the depth a module has: in layers, or as the number of stages that a backbone is cut into."""
    network = known_network(row["network"])
    if network is not None and network.units is not None:
        return f"{row['modules']} {row['cut']} stages" if row["modules"] > 1 else "one stage"
    layers = row["depth"] / row["modules"]
    return "1 layer per module" if layers == 1 else f"{layers:g} layers per module"


def data_text(row: pd.Series) -> str:
    """The data set, with the size of its images where that is not always the same."""
    known = known_dataset(row["dataset"])
    image = row.get("image", UNKNOWN)
    return str(row["dataset"]) if image == UNKNOWN or (known and known.shape) else f"{row['dataset']} {image}"


def modules_text(row: pd.Series) -> str:
    """The number of modules, and how they are cut where that is not evenly."""
    return f"{row['modules']} modules" + ("" if row["cut"] == "even" else f", {row['cut']} cut")


# The axes that the title of a cell names.
_IN_TITLE = {"network", "dataset", "depth", "modules", "cut", "batch_size", "hidden", "seed"}


def cell_titles(rows: pd.DataFrame) -> list[str]:
    """The title of each row's panel where a panel is one cell; cells that differ otherwise have others."""
    titles = rows["network"] + " on " + rows.apply(data_text, axis=1) + "\ndepth " + rows["depth"].map(str)
    titles += ", " + rows["modules"].map(str) + " modules" + (" " + rows["cut"]).where(rows["cut"] != "even", "")
    titles += ", batch " + rows["batch_size"].map(str) + ", hidden " + rows["hidden"].map(str)
    others = [name for name, row in axes().items() if row.paired and name not in _IN_TITLE]
    return list(tell_apart(titles, rows, others))


def tell_apart(titles: pd.Series, rows: pd.DataFrame, axes: Iterable[str]) -> pd.Series:
    """The ``titles`` of ``rows``, with the value of each of ``axes`` that rows of one title differ in."""
    for axis in axes:
        if axis in rows:
            values = rows[axis].map(_axis_text)
            several = values.groupby(titles).transform("nunique") > 1
            titles = titles.where(~several, titles + f"\n{axis.replace('_', ' ')} " + values)
    return titles
