"""The table of test accuracies per configuration."""

import pandas as pd

from bench.analysis.differences import paired_differences
from bench.report.tables.cells import in_order, without_constant_columns
from bench.report.tables.text import difference_text, mean_and_range, mean_percent


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy of every configuration over its seeds, with the paired difference from BP."""
    rows = []
    measured = frame[frame["has_accuracy"]]
    for _, part in in_order(measured).groupby(["group", "series"], sort=False):
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
                "last epoch, %": mean_and_range(part["accuracy.test_last"]),
                "mean of last ten, %": mean_percent(part["accuracy.test_mean_last10"]),
                "chosen epoch, %": mean_percent(part["accuracy.test_at_best_validation"]),
                "chosen by clean labels, %": mean_percent(part["accuracy.test_at_best_clean_validation"]),
                "best on test (optimistic), %": mean_percent(part["accuracy.test_best_optimistic"]),
                "last epoch minus BP's, points [95 %]": difference_text(paired_differences(same_cells, series)),
            }
        )
    return without_constant_columns(pd.DataFrame(rows))
