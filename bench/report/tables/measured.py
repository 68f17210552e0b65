"""The tables of the report: numbers as text, each with its unit, absent where nothing was measured."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.analysis.frame import ordered_series
from bench.analysis.pareto import with_front

NOT_MEASURED = "not measured"
# Two instruments that differ by more than this share contradict each other.
DISAGREEMENT_LIMIT = 0.01
_MIB = 2**20


def mebibytes(value: float) -> str:
    """Bytes as MiB with three digits that matter."""
    size = value / _MIB
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if size >= least), 3)
    return f"{size:.{digits}f}"


def ratio_text(row: pd.Series) -> str:
    """A latency ratio with its interval, and a word of warning where it is noisy."""
    low, high = row["latency.ratio_ci95"]
    noisy = " noisy" if pd.notna(row["latency.noisy_because"]) else ""
    return f"{row['latency.ratio_to_bp']:.2f} [{low:.2f}, {high:.2f}]{noisy}"


def mean_text(shares: pd.Series) -> str:
    """The mean of shares in percent."""
    return f"{100 * shares.mean():.1f}"


def paired_differences(rows: pd.DataFrame, series: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Last-epoch test accuracy of ``series`` minus BP's, in points, for each cell that both were measured on."""
    if rows.empty:
        return np.array([])
    own = rows[rows["series"] == series].set_index("pair")["accuracy.test_last"]
    baseline = rows[rows["is_baseline"]].drop_duplicates("pair").set_index("pair")["accuracy.test_last"]
    return 100 * (own - baseline.reindex(own.index)).dropna().to_numpy(dtype=float)


def difference_text(differences: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """The mean of paired differences with a 95 % t interval; without an interval for one pair."""
    if len(differences) == 0:
        return NOT_MEASURED
    mean = float(differences.mean())
    if len(differences) == 1:
        return f"{mean:+z.1f} (one seed, no interval)"
    half = float(stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1))
    return f"{mean:+z.1f} [{mean - half:+z.1f}, {mean + half:+z.1f}]"


def growth_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Peak activations at the smallest and the largest depth, one layer a module, and the growth between them."""
    rows = []
    if frame.empty or not frame["has_memory"].any():
        return pd.DataFrame()
    measured = frame[frame["has_memory"] & (frame["layers_per_module"] == 1)]
    held = ["network", "dataset", "image", "classes", "width", "hidden", "batch_size"]
    for _, part in measured.groupby(held, dropna=False):
        for series in ordered_series(part):
            line = part[part["series"] == series].sort_values("depth")
            first, last = line.iloc[0], line.iloc[-1]
            if first["depth"] == last["depth"]:
                continue
            before, after = first["memory.peak_activation_bytes"], last["memory.peak_activation_bytes"]
            rows.append(
                {
                    "network": first["network"],
                    "layout": first["layout"],
                    "data": first["dataset"],
                    "image": first["image"],
                    "width": first["width"],
                    "hidden": first["hidden"],
                    "batch": first["batch_size"],
                    "method": series,
                    "depths": f"{first['depth']} to {last['depth']}",
                    "bytes at the smallest depth": f"{before:,.0f}",
                    "bytes at the largest depth": f"{after:,.0f}",
                    "growth": f"{after / before:.3f}",
                }
            )
    return pd.DataFrame(rows)


def cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Every measured memory and latency, one row a cell; where both were, its place in view of the Pareto front."""
    rows = []
    fronts = with_front(frame)["front"].to_dict()
    for index, row in _sorted(frame[frame["has_memory"] | frame["has_latency"]]).iterrows():
        cells = _where(row)
        if row["has_memory"]:
            cells |= {
                "peak activation bytes": f"{row['memory.peak_activation_bytes']:,.0f}",
                "activations / BP": _ratio(row.get("memory.activation_ratio")),
                "peak total bytes": f"{row['memory.peak_total_bytes']:,.0f}",
                "total / BP": _ratio(row.get("memory.total_ratio")),
                "activations / bound": _ratio(row["memory.over_bound"]),
                "allocator": _agreement(row),
            }
        if row["has_latency"]:
            cells |= {
                "step, ms": f"{1000 * row['latency.median_seconds']:.3f}",
                "IQR, ms": f"{1000 * row['latency.iqr_seconds']:.3f}",
                "BP beside it, ms": f"{1000 * row['latency.bp_median_seconds']:.3f}",
                "latency / BP [95 %]": ratio_text(row),
                "samples/s": f"{row['latency.samples_per_second']:,.0f}",
            }
            cells |= {
                f"{phase}, ms": f"{1000 * row[f'latency.{phase}_seconds']:.3f}"
                for phase in ("forward", "backward", "optimizer")
                if pd.notna(row.get(f"latency.{phase}_seconds"))
            }
        if index in fronts:
            cells["Pareto front"] = fronts[index]
        rows.append(cells)
    return without_the_same(pd.DataFrame(rows).fillna(NOT_MEASURED))


def category_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The bytes of each category at the moment of the peak, and what operators allocate for themselves."""
    if "memory.at_peak.activation_trunk" not in frame:
        return pd.DataFrame()
    rows = []
    for _, row in _sorted(frame[frame["memory.at_peak.activation_trunk"].notna()]).iterrows():
        categories = {
            "activation, trunk": "memory.at_peak.activation_trunk",
            "activation, modules": "memory.at_peak.activation_modules",
            "temporary, trunk": "memory.at_peak.temporary_trunk",
            "temporary, modules": "memory.at_peak.temporary_modules",
            "parameter": "memory.parameter_bytes",
            "gradient": "memory.gradient_bytes",
            "optimizer state": "memory.optimizer_bytes",
            "buffer": "memory.buffer_bytes",
            "input": "memory.input_bytes",
            "workspace in operators": "memory.allocator.workspace_bytes",
        }
        rows.append(_where(row) | {name: _bytes_text(row[column]) for name, column in categories.items()})
    return without_the_same(pd.DataFrame(rows))


def noise_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Latencies that are not to be relied on, and why."""
    if frame.empty or not frame["has_latency"].any():
        return pd.DataFrame()
    noisy = frame[frame["has_latency"] & frame["latency.noisy_because"].notna()]
    rows = [
        _where(row) | {"latency / BP [95 %]": ratio_text(row), "noisy because": row["latency.noisy_because"]}
        for _, row in _sorted(noisy).iterrows()
    ]
    return without_the_same(pd.DataFrame(rows))


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of every configuration over its seeds, with the paired difference to BP."""
    rows = []
    measured = frame[frame["has_accuracy"]]
    for _, part in _sorted(measured).groupby(["group", "series"], sort=False):
        first, series = part.iloc[0], part.iloc[0]["series"]
        same_cells = measured[measured["group"] == first["group"]]
        rows.append(
            {
                "network": first["network"],
                "layout": first["layout"],
                "data": first["dataset"],
                "image": first["image"],
                "samples": "all" if pd.isna(first["train_samples"]) else f"{first['train_samples']:g}",
                "depth": first["depth"],
                "modules": first["modules"],
                "cut": first["cut"],
                "width": first["width"],
                "hidden": first["hidden"],
                "batch": first["batch_size"],
                "optimizer": first["optimizer"],
                "learning rate": f"{first['learning_rate']:g}",
                "weight decay": f"{first['weight_decay']:g}",
                "schedule": first["schedule"],
                "epochs": first["epochs"],
                "noise": f"{first['noise_kind']} {first['noise_rate']:g}" if first["noise_rate"] else "none",
                "realised rate": f"{part['accuracy.realised_noise_rate'].mean():.3f}",
                "method": series,
                "seeds": str(part["seed"].nunique()),
                "last epoch, %": _spread(part["accuracy.test_last"]),
                "mean of last ten, %": mean_text(part["accuracy.test_mean_last10"]),
                "at best validation, %": mean_text(part["accuracy.test_at_best_validation"]),
                "best on test (optimistic), %": mean_text(part["accuracy.test_best_optimistic"]),
                "last epoch minus BP's, points [95 %]": difference_text(paired_differences(same_cells, series)),
            }
        )
    return without_the_same(pd.DataFrame(rows))


def failure_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells that ended otherwise than ``ok``, with their message."""
    failed = frame[frame["status"] != "ok"]
    rows = [
        {"status": row["status"], **_where(row), "seed": row["seed"], "message": row["message"]}
        for _, row in failed.iterrows()
    ]
    return without_the_same(pd.DataFrame(rows))


# Columns that a reader misses only where they differ.
_TOLD_WHERE_THEY_DIFFER = ("cut", "width", "samples", "learning rate", "weight decay", "schedule")


def without_the_same(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` without those of :data:`_TOLD_WHERE_THEY_DIFFER` that are the same in all its rows."""
    same = [name for name in _TOLD_WHERE_THEY_DIFFER if name in table and table[name].nunique() == 1]
    return table.drop(columns=same)


def _where(row: pd.Series) -> dict[str, Any]:
    return {
        "network": row["network"],
        "layout": row["layout"],
        "data": row["dataset"],
        "image": row["image"],
        "method": row["series"],
        "depth": row["depth"],
        "modules": row["modules"],
        "cut": row["cut"],
        "width": row["width"],
        "hidden": row["hidden"],
        "batch": row["batch_size"],
    }


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    order = {series: index for index, series in enumerate(ordered_series(frame))}
    keys = ["network", "dataset", "pixels", "optimizer", "epochs", "noise_kind", "noise_rate", "depth", "modules"]
    keys += ["cut", "width", "hidden", "batch_size", "rank", "seed"]
    return frame.assign(rank=frame["series"].map(order)).sort_values(keys)


def _ratio(value: float | None) -> str:
    return NOT_MEASURED if value is None or np.isnan(value) else f"{value:.3f}"


def _bytes_text(value: float | None) -> str:
    return NOT_MEASURED if pd.isna(value) else f"{value:,.0f}"


def _agreement(row: pd.Series) -> str:
    """Whether the allocator's count, workspaces apart, is that of the exact instrument."""
    disagreement = row["memory.allocator.disagreement"]
    if pd.isna(disagreement):
        return NOT_MEASURED
    return "agrees" if abs(disagreement) <= DISAGREEMENT_LIMIT else f"differs by {100 * disagreement:+.1f} %"


def _spread(shares: pd.Series) -> str:
    if len(shares) == 1:
        return mean_text(shares)
    return f"{mean_text(shares)} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"
