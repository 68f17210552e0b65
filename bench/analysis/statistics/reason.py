"""What the comparisons of a claim together say of it, and the reason as a plain sentence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.statistics.sentence import sentence
from bench.analysis.statistics.verdict import Answer, Judged

Conclusion = Literal["supported", "not supported", "refuted", "undecided", "not measured"]

_SAYINGS: dict[Answer, str] = {
    "no": "The contrary holds in",
    "not measured": "Nothing was measured for",
    "open": "The numbers do not decide",
}
_COUNTED: tuple[tuple[Answer, str], ...] = (
    ("no", "contrary"),
    ("open", "undecided"),
    ("not measured", "not measured"),
)


@dataclass(frozen=True)
class Part:
    """One comparison of a claim, with its verdict.

    Attributes:
        control: the name of the control that it belongs to; None for the claim's own comparison.
        judged: the verdict.
    """

    control: str | None
    judged: Judged


def conclude(parts: Sequence[Part]) -> tuple[Conclusion, str, Part]:
    """Return the conclusion that ``parts``, 1 or more, give, its reason, and the part that decides.

    ``refuted``: one of the claim's own comparisons gives the contrary. ``not supported``: one with a control does.
    ``not measured``: none of the claim's own has a number. ``undecided``: one is open. ``not measured``: one has no
    number. ``supported``: all give what the claim expects. The first of these that is so counts. Of the comparisons
    that give it, the one that is the least in favour of the claim decides, and the reason quotes it.
    """
    own = [part for part in parts if part.control is None]
    controls = [part for part in parts if part.control is not None]
    cases: tuple[tuple[Sequence[Part], Answer, Conclusion], ...] = (
        (own, "no", "refuted"),
        (controls, "no", "not supported"),
        (() if any(part.judged.answer != "not measured" for part in own) else own, "not measured", "not measured"),
        (parts, "open", "undecided"),
        (parts, "not measured", "not measured"),
    )
    for among, answer, conclusion in cases:
        deciding = [part for part in among if part.judged.answer == answer]
        if deciding:
            share = f"{len(deciding)} of {len(among)} comparisons" if len(among) > 1 else "the only comparison"
            example = ", for example" if len(deciding) > 1 else ""
            least = _least(deciding)
            return conclusion, f"{_SAYINGS[answer]} {share}{example}: {_quote(least)}", least
    least = _least(parts)
    if len(parts) == 1:
        return "supported", f"It holds in the only comparison: {_quote(least)}", least
    return "supported", f"It holds in all of {len(parts)} comparisons, least in this one: {_quote(least)}", least


def tally(parts: Sequence[Part]) -> str:
    """Return how many of ``parts``, 1 or more, give which answer: ``31 of 34 hold, 1 contrary, 2 undecided``."""
    counts = Counter(part.judged.answer for part in parts)
    others = [f"{counts[answer]} {word}" for answer, word in _COUNTED if counts[answer]]
    return ", ".join([f"{counts['yes']} of {len(parts)} hold", *others])


def _least(parts: Sequence[Part]) -> Part:
    """Return the part with the smallest gain; of questions about equivalence, that with the largest difference."""
    return min(parts, key=_favour)


def _favour(part: Part) -> float:
    comparison = part.judged.comparison
    gain = comparison.gain or 0.0
    return -abs(gain) if comparison.question == "equivalent" else gain


def _quote(part: Part) -> str:
    control = "" if part.control is None else f"(control: {part.control}) "
    is_too_small = part.judged.answer == "no" and part.judged.verdict == "equivalent"
    return control + sentence(part.judged) + (" A difference within the margin is none." if is_too_small else "")
