"""The section ``answer``: three questions, each with a verdict, a number and what speaks against it."""

from dataclasses import dataclass, replace

from bench.analysis.answer.answer import Answer
from bench.report.inputs import Inputs
from bench.report.text import unbroken


@dataclass(frozen=True)
class AnswerContent:
    """The content of the section.

    Attributes:
        answers: on memory, time and accuracy.
    """

    answers: tuple[Answer, ...]


def answer(inputs: Inputs) -> AnswerContent:
    """Return the content of the section."""
    return AnswerContent(
        tuple(
            replace(
                one,
                number=unbroken(one.number),
                sentence=unbroken(one.sentence),
                besides=tuple(map(unbroken, one.besides)),
            )
            for one in inputs.answers
        )
    )
