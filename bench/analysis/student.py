"""Student's t distribution, from ``scipy.special``: ``scipy.stats`` takes most of a second to load, in each process."""

import math

from scipy import special


def upper_tail(value: float, degrees: float) -> float:
    """Return the probability of a value above ``value``.

    Args:
        value: of the statistic.
        degrees: of freedom, above 0; infinite for the normal distribution.
    """
    return float(special.ndtr(-value) if math.isinf(degrees) else special.stdtr(degrees, -value))


def upper_quantile(probability: float, degrees: float) -> float:
    """Return the value that is exceeded with ``probability``, between 0 and 1; see :func:`upper_tail`."""
    return float(-special.ndtri(probability) if math.isinf(degrees) else -special.stdtrit(degrees, probability))
