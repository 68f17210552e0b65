"""The quantities that are compared: their scale, which direction is better, and how a sentence says it."""

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["ratio", "points"]


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
    """

    name: str
    scale: Scale
    better: Literal["smaller", "larger"]
    verb: str
    lower: str
    higher: str
    summary: str

    def margin_on_scale(self, margin: float) -> float:
        """Return ``margin``, in per cent or percentage points, as a log-ratio or a fraction.

        A margin of 3 % reaches from 1 / 1.03 to 1.03, so that it is the same if the methods are swapped.
        """
        return math.log1p(margin / 100) if self.scale == "ratio" else margin / 100

    @property
    def unit(self) -> str:
        """The unit of margins and effects: ``%`` or ``points``."""
        return "%" if self.scale == "ratio" else "points"


def _ratio(name: str, verb: str, lower: str, higher: str, summary: str) -> Statistic:
    return Statistic(name, "ratio", "smaller", verb, lower, higher, summary)


STATISTICS = {
    row.name: row
    for row in (
        _ratio("step_time", "takes", "less time a step", "more time a step", "seconds per training step"),
        Statistic(
            "throughput",
            "ratio",
            "larger",
            "trains",
            "fewer samples a second",
            "more samples a second",
            "samples per second on all ranks of a job together",
        ),
        _ratio(
            "activation_bytes",
            "holds",
            "fewer bytes of activations",
            "more bytes of activations",
            "peak activation bytes of a step; on ranks, of the rank that needs most",
        ),
        _ratio("total_bytes", "needs", "fewer bytes in total", "more bytes in total", "peak total bytes of a step"),
        _ratio(
            "inference_bytes",
            "needs",
            "fewer bytes for a prediction",
            "more bytes for a prediction",
            "peak total bytes of a forward pass without gradients",
        ),
        _ratio(
            "inference_time",
            "takes",
            "less time a prediction",
            "more time a prediction",
            "seconds per forward pass of a batch without gradients",
        ),
        Statistic(
            "locked_share",
            "points",
            "smaller",
            "locks a module for",
            "points less of the step",
            "points more of the step",
            "share of a step in which a module waits for its gradient, averaged over modules",
        ),
        Statistic(
            "accuracy_last",
            "points",
            "larger",
            "is",
            "points less accurate at the last epoch",
            "points more accurate at the last epoch",
            "test accuracy at the last epoch",
        ),
        Statistic(
            "accuracy_chosen",
            "points",
            "larger",
            "is",
            "points less accurate at the chosen epoch",
            "points more accurate at the chosen epoch",
            "test accuracy at the epoch that validation chooses, with labels as noisy as those of training",
        ),
        Statistic(
            "accuracy_by_module",
            "points",
            "larger",
            "is, from a module to the next,",
            "points less accurate",
            "points more accurate",
            "test accuracy of a module minus that of the module before it, at the last epoch",
        ),
        _ratio(
            "divergence_by_module",
            "leaves, from a module to the next,",
            "less divergence from the label",
            "more divergence from the label",
            "KL(label || belief) of a module over that of the module before it, over the theory's factor 1 - alpha",
        ),
    )
}
