"""Parts of sentences."""

from bench.analysis.answer.methods import Method
from bench.analysis.statistics.comparison import NotMeasured
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.verdict import Judged


def subject_text(subject: Method | None) -> str:
    """Return what a question asks about: SID where the method has its objective, else the method."""
    return "SID" if subject is None or subject.kind == "sid" else subject.name


def support(judged: Judged) -> str:
    """Return what an estimate rests on: ``5 processes, 95 % interval corrected for 4 comparisons``."""
    outcome = judged.comparison.outcome
    if not isinstance(outcome, Estimate):
        return "" if isinstance(outcome, NotMeasured) else "exact"
    if judged.interval is None:
        return f"{outcome.basis}, which gives no interval"
    corrected = f" corrected for {judged.family} comparisons" if judged.family > 1 else ""
    return f"{outcome.basis}, 95 % interval{corrected}"


def other_words(cell: str, of: str) -> str:
    """Return the words of ``cell`` that another cell does not have; the whole text where it has them all."""
    if cell == of:
        return "this cell"
    known = set(of.split(", "))
    return ", ".join([word for word in cell.split(", ") if word not in known]) or cell
