"""Methods whose accuracy is not above that of a guess."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.words import counted
from bench.store.record import Record

_STANDARD_ERRORS = 2.0  # of the accuracy of a guess on the test images


@dataclass(frozen=True)
class _Cell:
    """Accuracies after the last epoch: the mean over the seeds of a cell, and that of a guess among its classes."""

    accuracy: float
    guess: float
    epochs: int
    name: str


def at_chance(frame: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    """Return a sentence on each method that has learned nothing in a cell, by its last accuracy.

    Training that diverged is left out.

    Args:
        frame: the rows of ``records`` that are ``ok`` (:func:`bench.analysis.frame.records_frame`).
        records: those with data say how many classes there are.
    """
    classes = {record.id: record.data.classes for record in records if record.data is not None}
    found: dict[str, list[_Cell]] = {}
    if not frame["has_accuracy"].any():
        return []
    known = frame["has_accuracy"] & frame["id"].isin(classes) & (frame["test_images"] > 0)
    trained = frame[known & ~frame["accuracy.diverged"].eq(True)]
    for (series, _), rows in trained.groupby(["series", "group"], sort=False):
        first = rows.iloc[0]
        accuracy, guess = float(rows["accuracy.test_last"].mean()), 1 / classes[first["id"]]
        if accuracy <= guess + _STANDARD_ERRORS * math.sqrt(guess * (1 - guess) / first["test_images"]):
            name = f"{first['network']}, {first['step_text']}"
            found.setdefault(str(series), []).append(_Cell(accuracy, guess, int(first["epochs"]), name))
    return [_sentence(series, cells) for series, cells in found.items()]


def _sentence(series: str, cells: Sequence[_Cell]) -> str:
    best = max(cells, key=lambda cell: cell.accuracy)
    cells_text, most = counted(len(cells), "cell"), " at most" if len(cells) > 1 else ""
    return (
        f"In {cells_text}, {series} is not more accurate than a guess: {100 * best.accuracy:.1f} % after "
        f"{counted(best.epochs, 'epoch')}{most}, where a guess has {100 * best.guess:.1f} %, on {best.name}. It has "
        "learned nothing there: train for more epochs (--set epochs=N) before you judge its accuracy."
    )
