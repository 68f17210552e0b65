"""What claims are tested with: something that finds the comparisons of two selections of cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.statistic import Statistic


@dataclass(frozen=True)
class Request:
    """Two methods, one quantity, and the cells to compare them in.

    Attributes:
        statistic: the quantity.
        method: axes of the first method, ``method`` among them.
        against: axes of the second method; None where the statistic has a reference of its own.
        where: axes with the values that a cell may have.
    """

    statistic: Statistic
    method: Mapping[str, Any]
    against: Mapping[str, Any] | None
    where: Mapping[str, Sequence[Any]]


class Found(NamedTuple):
    """What was measured in one cell.

    Attributes:
        cell: describes it without the axes of its methods.
        outcome: of the first method compared with the second.
        records: the ids of the first method's records in the cell.
        seeds: those of a comparison of trained networks, of both methods; empty for others.
        without: returns the outcome without the records of a seed; those of a method that has no other seed stay.
    """

    cell: str
    outcome: Outcome
    records: tuple[str, ...] = ()
    seeds: frozenset[int] = frozenset()
    without: Callable[[int], Outcome] | None = None


class Provider(Protocol):
    """Finds what was measured.

    A second method differs from the first in the axes that ``against`` or ``method`` names and in those that belong to
    the method (not paired, in the table of axes), which have their default where they are not named. All other axes are
    equal. Seeds of one cell are one comparison.
    """

    def find(self, request: Request) -> Sequence[Found] | NotMeasured:
        """Return one entry per cell that matches, at least one, or why there is none.

        Equal cells have equal texts in the answers to all requests.
        """
        ...
