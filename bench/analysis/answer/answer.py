"""An answer: a verdict in words, the number that it rests on, and what speaks against it."""

from dataclasses import dataclass

from bench.analysis.statistics.verdict import Verdict


@dataclass(frozen=True)
class Answer:
    """What the records say of one question.

    Attributes:
        name: ``memory``, ``time`` or ``accuracy``.
        question: asked of the method that the answer is about.
        verdict: of the comparison that decides; see :func:`bench.analysis.statistics.verdict.judge`.
        number: the effect alone; empty where nothing was measured.
        unit: follows the number.
        sentence: the result with its interval, its sample and its cell; where nothing was measured, the reason.
        besides: what limits the result or speaks against it, one sentence each.
        command: measures what is missing; None where nothing is, or where no command can be given.
        record: the id of a record that the result rests on; None where nothing was measured.
    """

    name: str
    question: str
    verdict: Verdict
    number: str
    unit: str
    sentence: str
    besides: tuple[str, ...] = ()
    command: str | None = None
    record: str | None = None
