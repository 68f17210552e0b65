"""Holm's step-down correction for several tests: the levels at which they are tested, and adjusted p-values.

Holm (Scandinavian Journal of Statistics 6, 1979): of ``m`` tests, the smallest p-value is tested at level ``a / m``,
the next at ``a / (m - 1)``, and so on until one is not rejected. The probability that any true hypothesis is rejected
is at most ``a``, however the tests depend on each other.
"""

from collections.abc import Sequence

from bench.errors import BenchError


def holm_levels(p_values: Sequence[float], level: float = 0.05) -> list[float]:
    """Return the level at which each test is made; a test rejects exactly if its p-value is at most this level.

    Tests after the first that does not reject have its level, and equal p-values have one level. So an interval with
    confidence ``1 - level`` of its test excludes the tested value exactly if Holm's correction rejects it.

    Raises:
        BenchError: a p-value is not in [0, 1].
    """
    levels = [level] * len(p_values)
    stopped = previous = None
    for position, index in enumerate(_order(p_values)):
        own = level / (len(p_values) - position)
        if previous is not None and p_values[previous] == p_values[index]:
            own = levels[previous]
        levels[index] = own if stopped is None else stopped
        if stopped is None and p_values[index] > own:
            stopped = own
        previous = index
    return levels


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: the smallest level of the whole family at which each test rejects.

    Raises:
        BenchError: a p-value is not in [0, 1].
    """
    adjusted = list(p_values)
    largest = 0.0
    for position, index in enumerate(_order(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _order(p_values: Sequence[float]) -> list[int]:
    for p_value in p_values:
        if not 0 <= p_value <= 1:
            raise BenchError(f"a p-value of {p_value}; legal: a number in [0, 1]")
    return sorted(range(len(p_values)), key=lambda index: p_values[index])
