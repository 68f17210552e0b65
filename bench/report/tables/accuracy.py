"""The table of test accuracies per configuration."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.analysis.differences import EPOCHS
from bench.analysis.trained import Trained
from bench.report.tables.cells import without_constant_columns
from bench.report.tables.text import BASELINE, difference_text, mean_and_range, mean_percent


def table_of_trained(methods: Iterable[Trained]) -> pd.DataFrame:
    """Return the test accuracy of every configuration over its seeds, with the paired difference from BP.

    Args:
        methods: whose differences are one family of comparisons; see :mod:`bench.analysis.trained`.
    """
    rows: list[dict[str, Any]] = []
    for trained in methods:
        first, part = trained.first, trained.runs
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
                "epochs": _epochs(first),
                "noise": f"{first['noise_kind']} {first['noise_rate']:g}" if first["noise_rate"] else "none",
                "realised rate": f"{part['accuracy.realised_noise_rate'].mean():.3f}",
                "method": first["series"],
                "seeds": str(part["seed"].nunique()),
                "last epoch, %": mean_and_range(part["accuracy.test_last"]),
                "mean of last ten, %": mean_percent(part["accuracy.test_mean_last10"]),
                "chosen epoch, %": mean_percent(part["accuracy.test_at_best_validation"]),
                "chosen by clean labels, %": mean_percent(part["accuracy.test_at_best_clean_validation"]),
                "best on test (optimistic), %": mean_percent(part["accuracy.test_best_optimistic"]),
            }
            | {
                f"{epoch} epoch minus BP's, points": difference_text(trained.differences[epoch])
                if epoch in trained.differences
                else BASELINE
                for epoch in EPOCHS
            }
        )
    return without_constant_columns(pd.DataFrame(rows))


def _epochs(run: pd.Series) -> Any:
    """The epochs of a training run, and those of the network that it has learned from."""
    before = run.get("accuracy.first_epochs")
    return run["epochs"] if pd.isna(before) else f"{run['epochs']}, after {before:g} of BP"
