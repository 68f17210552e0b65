"""A comparison of two methods in one quantity, before its verdict."""

import math
from dataclasses import dataclass

from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.statistic import Question, Statistic
from bench.errors import BenchError


@dataclass(frozen=True)
class Exact:
    """Two numbers without uncertainty, such as bytes, which are the same in every run.

    Raises:
        BenchError: a number is not finite or not above 0.
    """

    first: float
    second: float

    def __post_init__(self) -> None:
        if not all(0 < number < math.inf for number in (self.first, self.second)):
            raise BenchError(f"exact numbers {self.first} and {self.second}; legal: finite numbers above 0")

    @property
    def log_ratio(self) -> float:
        """The logarithm of the first over the second."""
        return math.log(self.first / self.second)


@dataclass(frozen=True)
class NotMeasured:
    """There is no number; ``because`` is the reason, a clause without a full stop."""

    because: str


Outcome = Estimate | Exact | NotMeasured


@dataclass(frozen=True)
class Comparison:
    """What is asked, and what was measured.

    Attributes:
        first: the name of the method that is judged.
        second: the name of the one that it is compared with.
        statistic: the quantity.
        outcome: the estimate of ``first`` compared with ``second``.
        margin: differences up to it do not matter, in per cent or percentage points; with 0, each difference does.
        question: the hypothesis that is tested: whether ``first`` is better, equivalent, or no worse than the margin.
        cell: the cells or the setting that this is about, as text.
        records: the ids of the records of ``first`` that were measured for it.

    Raises:
        BenchError: the margin is negative or not finite; or it is 0 and an estimate is asked for equivalence, which no
            interval can show; or numbers without uncertainty are not a ratio.
    """

    first: str
    second: str
    statistic: Statistic
    outcome: Outcome
    margin: float = 0.0
    question: Question = "better"
    cell: str = ""
    records: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise BenchError(f"margin = {self.margin} of {self.statistic.name}; legal: a finite number of 0 or more")
        if self.question == "equivalent" and self.margin == 0 and isinstance(self.outcome, Estimate):
            raise BenchError(f"margin = 0 of {self.statistic.name} for equivalence; legal: a number above 0")
        if isinstance(self.outcome, Exact) and self.statistic.scale != "ratio":
            raise BenchError(f"exact numbers for {self.statistic.name}, which is in points; legal: an estimate")

    @property
    def gain(self) -> float | None:
        """The estimate with its sign such that more is better; None if it is not measured."""
        if isinstance(self.outcome, NotMeasured):
            return None
        return self.oriented(self.outcome.log_ratio if isinstance(self.outcome, Exact) else self.outcome.value)

    def oriented(self, value: float) -> float:
        """Return a log-ratio or a difference with its sign such that more is better."""
        return value if self.statistic.better == "larger" else -value
