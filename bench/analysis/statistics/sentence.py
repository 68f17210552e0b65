"""Verdicts as plain sentences, with the effect, its interval and what it rests on."""

import math

from bench.analysis.digits import digits_apart
from bench.analysis.statistics.comparison import Exact, NotMeasured
from bench.analysis.statistics.estimate import Estimate, Interval
from bench.analysis.statistics.statistic import Statistic
from bench.analysis.statistics.verdict import Judged


def sentence(judged: Judged) -> str:
    """Return the result of a comparison as one sentence.

    For example ``A takes 3.1 % less time per step than B (95 % interval 1.2 to 5.0 %, 5 processes).``
    """
    comparison, outcome = judged.comparison, judged.comparison.outcome
    first, second, margin = comparison.first, comparison.second, comparison.margin
    where = f"{comparison.cell}: " if comparison.cell else ""
    if isinstance(outcome, NotMeasured):
        return f"{where}{first} compared with {second} is not measured: {outcome.because}."
    text = f"{first} {comparison.statistic.verb} {_amount(judged)} than {second} ({_support(judged)})."
    if judged.verdict == "equivalent":
        within = f"equivalent within {margin_text(margin, comparison.statistic.unit)}" if margin else "equal"
        return f"{where}{first} and {second} are {within}: {text}"
    return f"{where}{'undecided: ' if judged.verdict == 'undecided' else ''}{text}"


def effect(judged: Judged) -> str:
    """Return the first method minus or over the second, with the interval: ``-3.1 % [-5.0, -1.2]``."""
    outcome, statistic = judged.comparison.outcome, judged.comparison.statistic
    if isinstance(outcome, NotMeasured):
        return "not measured"
    digits = _digits(judged)
    value = _signed(statistic, _value(judged), digits)
    if isinstance(outcome, Exact):
        return f"{value} {statistic.unit}"
    if judged.interval is None:
        return f"{value} {statistic.unit} (no interval)"
    low, high = (_signed(statistic, end, digits) for end in judged.interval)
    return f"{value} {statistic.unit} [{low}, {high}]"


def margin_text(margin: float, unit: str) -> str:
    """Return a margin with its unit: ``0.5 points``, ``1 point``."""
    return f"{margin:g} {unit.removesuffix('s') if margin == 1 else unit}"


def sample(judged: Judged) -> str:
    """Return the sample that an estimate rests on, ``20 seeds, 360 images``; ``exact`` without uncertainty."""
    outcome = judged.comparison.outcome
    if isinstance(outcome, Estimate):
        return outcome.basis
    return "exact" if isinstance(outcome, Exact) else "none"


def _support(judged: Judged) -> str:
    """Return the interval and the sizes of the sample, or the exact numbers."""
    outcome = judged.comparison.outcome
    if isinstance(outcome, Exact):
        return f"exactly {_number(outcome.first)} and {_number(outcome.second)}"
    if not isinstance(outcome, Estimate):
        return ""
    parts = [outcome.basis]
    if judged.interval is None or judged.confidence is None:
        parts = [f"{outcome.basis}, which gives no interval"]
    else:
        corrected = f", corrected for {judged.family} comparisons" if judged.family > 1 else ""
        parts.insert(0, f"{_percent(judged.confidence)} interval {_ends(judged, judged.interval)}{corrected}")
    if outcome.note:
        parts.append(outcome.note)
    return ", ".join(part for part in parts if part)


def _ends(judged: Judged, interval: Interval) -> str:
    """Return the ends of an interval, ``1.2 to 5.0 %``; with signs, minus for less, if 0 is between them."""
    statistic, digits = judged.comparison.statistic, _digits(judged)
    ends = [abs(_in_unit(statistic, end)) for end in interval]
    signs = ("-", "+") if interval.low < 0 < interval.high else ("", "")
    low, high = ends if signs[0] else sorted(ends)
    return f"{signs[0]}{low:.{digits}f} to {signs[1]}{high:.{digits}f} {statistic.unit}"


def _amount(judged: Judged) -> str:
    statistic, value = judged.comparison.statistic, _value(judged)
    unit = "% " if statistic.scale == "ratio" else ""
    size = f"{abs(_in_unit(statistic, value)):.{_digits(judged)}f}"
    return f"{size} {unit}{statistic.lower if value < 0 else statistic.higher}"


def _signed(statistic: Statistic, value: float, digits: int) -> str:
    size = _in_unit(statistic, value)
    return f"{size:+z.{digits}f}" if size else "0"


def _value(judged: Judged) -> float:
    """Return the difference, or the logarithm of the ratio; 0 where nothing is measured."""
    outcome = judged.comparison.outcome
    if isinstance(outcome, NotMeasured):
        return 0.0
    return outcome.log_ratio if isinstance(outcome, Exact) else outcome.value


def _in_unit(statistic: Statistic, value: float) -> float:
    """Return a log-ratio in per cent, or a difference in percentage points."""
    return round(100 * (math.expm1(value) if statistic.scale == "ratio" else value), 9)  # less is rounding error


def _digits(judged: Judged) -> int:
    """Return how many decimals the effect and the ends of its interval have, the same number for all three."""
    statistic = judged.comparison.statistic
    if judged.interval is not None:
        return digits_apart(*(_in_unit(statistic, end) for end in judged.interval))
    size = abs(_in_unit(statistic, _value(judged)))
    return 0 if size == 0 else 1 if size >= 0.1 else 1 - math.floor(math.log10(size))  # two digits of a small one


def _number(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:g}"


def _percent(confidence: float) -> str:
    """Return a confidence as text, rounded down, so that it does not promise more: ``95 %``, ``99.37 %``."""
    return f"{math.floor(1e4 * confidence + 1e-6) / 100:g} %"
