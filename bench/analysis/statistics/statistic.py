"""The quantities that are compared: their scale, which direction is better, and how a sentence says it."""

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["ratio", "points"]
Question = Literal["better", "equivalent", "no worse"]  # what is asked of the first of two methods


@dataclass(frozen=True)
class Statistic:
    """A quantity of two methods that is compared.

    Attributes:
        name: what claims call it.
        scale: ``ratio``: estimates are log-ratios, margins are in per cent; ``points``: estimates are differences of
            fractions, margins are in percentage points.
        better: the direction that is better.
        verb: follows the first method in a sentence, as in ``A takes 3 % less time than B``.
        lower: follows the number where the first method has less.
        higher: follows the number where the first method has more.
        summary: its definition, in one line.
        reference: what it is compared with by its definition, where that is no other method.
        exact: it is the same in every run.
    """

    name: str
    scale: Scale
    better: Literal["smaller", "larger"]
    verb: str
    lower: str
    higher: str
    summary: str
    reference: str | None = None
    exact: bool = False

    def margin_on_scale(self, margin: float) -> float:
        """Return ``margin``, in per cent or percentage points, as a log-ratio or a fraction.

        A margin of 3 % reaches from 1 / 1.03 to 1.03, so that it is the same if the methods are swapped.
        """
        return math.log1p(margin / 100) if self.scale == "ratio" else margin / 100

    @property
    def unit(self) -> str:
        """The unit of margins and effects: ``%`` or ``points``."""
        return "%" if self.scale == "ratio" else "points"


def _time(name: str, of: str, summary: str) -> Statistic:
    return Statistic(name, "ratio", "smaller", "takes", f"less time per {of}", f"more time per {of}", summary)


def _bytes(name: str, verb: str, kind: str, summary: str) -> Statistic:
    lower, higher = f"fewer bytes {kind}", f"more bytes {kind}"
    return Statistic(name, "ratio", "smaller", verb, lower, higher, summary, exact=True)


def _accuracy(name: str, when: str, summary: str) -> Statistic:
    lower, higher = f"points less accurate {when}", f"points more accurate {when}"
    return Statistic(name, "points", "larger", "is", lower, higher, summary)


STATISTICS = {
    row.name: row
    for row in (
        _time("step_time", "step", "seconds per training step"),
        Statistic(
            "throughput",
            "ratio",
            "larger",
            "trains",
            "fewer samples per second",
            "more samples per second",
            "samples per second of all ranks of a job together",
        ),
        _bytes(
            "activation_bytes",
            "holds",
            "of activations",
            "peak activation bytes of a step; on ranks, of the rank that needs most",
        ),
        _bytes("total_bytes", "needs", "in total", "peak total bytes of a step; on ranks, of the rank that needs most"),
        _bytes("inference_bytes", "needs", "for a prediction", "peak total bytes of a forward pass without gradients"),
        _time("inference_time", "prediction", "seconds per forward pass of a batch without gradients"),
        Statistic(
            "locked_share",
            "points",
            "smaller",
            "locks a module for",
            "points less of the step",
            "points more of the step",
            "share of a step in which a module waits for its gradient, averaged over modules",
        ),
        _accuracy("accuracy_last", "at the last epoch", "test accuracy at the last epoch"),
        _accuracy(
            "accuracy_chosen",
            "at the chosen epoch",
            "test accuracy at the epoch that validation chooses, with labels as noisy as those of training",
        ),
        _accuracy(
            "accuracy_last_against_chosen",
            "at its last epoch, against the epoch that validation chooses,",
            "test accuracy at the last epoch minus the second method's at the epoch that validation chooses",
        ),
        Statistic(
            "accuracy_by_module",
            "points",
            "larger",
            "gives a module that is",
            "points less accurate",
            "points more accurate",
            "test accuracy of a module minus that of the module before it, at the last epoch",
            reference="the module before it",
        ),
        Statistic(
            "divergence_by_module",
            "ratio",
            "smaller",
            "leaves a module with",
            "less divergence from the label",
            "more divergence from the label",
            "KL(label || belief) of a module, over 1 - alpha times that of the module before it, at the last epoch",
            reference="1 - alpha of the divergence of the module before it",
        ),
    )
}
