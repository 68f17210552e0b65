"""The table of test accuracies per configuration."""

from typing import Any

import pandas as pd

from bench.analysis.differences import EPOCHS, compared_with_bp
from bench.report.tables.cells import in_order, without_constant_columns
from bench.report.tables.text import BASELINE, mean_and_range, mean_percent, with_verdicts


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy of every configuration over its seeds, with the paired difference from BP.

    The differences of the whole table are one family of comparisons; see :mod:`bench.analysis.inference.verdict`.
    """
    rows: list[dict[str, Any]] = []
    measured = frame[frame["has_accuracy"]]
    for _, part in in_order(measured).groupby(["group", "series"], sort=False):
        first, series = part.iloc[0], part.iloc[0]["series"]
        baseline = measured[(measured["group"] == first["group"]) & measured["is_baseline"]]
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
                "last epoch, %": mean_and_range(part["accuracy.test_last"]),
                "mean of last ten, %": mean_percent(part["accuracy.test_mean_last10"]),
                "chosen epoch, %": mean_percent(part["accuracy.test_at_best_validation"]),
                "chosen by clean labels, %": mean_percent(part["accuracy.test_at_best_clean_validation"]),
                "best on test (optimistic), %": mean_percent(part["accuracy.test_best_optimistic"]),
            }
            | {
                f"{epoch} epoch minus BP's, points": BASELINE
                if first["is_baseline"]
                else compared_with_bp(part, baseline, epoch)
                for epoch in EPOCHS
            }
        )
    return without_constant_columns(pd.DataFrame(with_verdicts(rows)))
