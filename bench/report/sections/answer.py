"""The section ``answer``: three questions, each with a verdict, a number and what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.analysis.answer.answer import Answer
from bench.report.inputs import Inputs
from bench.report.text import unbroken

_LINE = 42  # characters of a line in one of three cards beside each other
_GAP = 0.25  # lines
_MOST_LINES = 22  # of a card that stands in the first screen


@dataclass(frozen=True)
class Card:
    """An answer as the page shows it.

    Attributes:
        answer: with those of its sentences that have room in the first screen.
        folded: the sentences that have none.
    """

    answer: Answer
    folded: tuple[str, ...]


@dataclass(frozen=True)
class AnswerContent:
    """The content of the section.

    Attributes:
        cards: on memory, time and accuracy.
    """

    cards: tuple[Card, ...]


def answer(inputs: Inputs) -> AnswerContent:
    """Return the content of the section."""
    return AnswerContent(tuple(map(card_of, inputs.answers)))


def card_of(answer: Answer) -> Card:
    """Return the card of ``answer``, which has as many sentences as have room, in their order."""
    room = _MOST_LINES - _lines([answer.sentence, *([answer.command] if answer.command else [])])
    shown = 0
    while shown < len(answer.besides) and _lines(answer.besides[: shown + 1]) <= room:
        shown += 1
    besides = tuple(map(unbroken, answer.besides))
    card = replace(answer, number=unbroken(answer.number), sentence=unbroken(answer.sentence), besides=besides[:shown])
    return Card(card, besides[shown:])


def _lines(texts: Sequence[str]) -> float:
    """Return the height of ``texts`` below each other; after each there is a gap."""
    return sum(-(-len(text) // _LINE) + _GAP for text in texts)
