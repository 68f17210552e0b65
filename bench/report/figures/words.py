"""Names of views, and numbers in findings."""

import re
from collections.abc import Iterable, Sequence

from bench.analysis.words import counted

_LONGEST_NAME = 60
_MOST_CLAUSES = 3  # of a finding that goes through methods
_LONGEST_FINDING = 249  # characters of a title and text alternative


def view_names(texts: Iterable[str]) -> list[str]:
    """Return distinct names of views made of ``texts``: lower-case letters, digits and hyphens."""
    names: list[str] = []
    for text in texts:
        stem = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-") or "view"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def tick_percent(share: float) -> str:
    """Return the place of a tick, a ratio, in per cent with two significant digits, and more near 100 %."""
    value = 100 * share
    if value < 9.95:
        return f"{value:.2g} %"
    text = f"{value:.0f} %"
    return f"{value:.1f} %" if text == "100 %" and value != 100 else text


def finding(*sentences: str) -> str:
    """Return ``sentences`` as one text of less than 250 characters, without the last ones if they are too long."""
    text = ""
    for sentence in filter(None, sentences):
        longer = f"{text} {sentence}".strip()
        if len(longer) > _LONGEST_FINDING:
            return text or f"{longer[: _LONGEST_FINDING - 1]}…"
        text = longer
    return text


def one_line(title: str) -> str:
    """Return the title of a panel on one line."""
    return title.replace("\n", ", ")


def finding_of(clauses: Sequence[str], noun: str = "method") -> str:
    """Return ``clauses`` as one sentence of less than 250 characters, joined by semicolons.

    The first three are shown, or fewer if they are long; the sentence says how many were left out.

    Args:
        clauses: at least one, the most important first.
        noun: what each clause is about, as in ``and 3 more methods``.
    """
    for count in range(min(len(clauses), _MOST_CLAUSES), 0, -1):
        rest = len(clauses) - count
        parts = [*clauses[:count], *([f"and {counted(rest, f'more {noun}')}"] if rest else [])]
        text = f"{'; '.join(parts)}."
        if len(text) <= _LONGEST_FINDING:
            return text
    return finding(clauses[0])


def joined(names: Sequence[str]) -> str:
    """Return ``names`` as a list in words: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def left_out_text(number: int, noun: str) -> str:
    """Return a sentence that says how many of ``noun`` are not drawn, with a space before it; empty if all are."""
    return f" {counted(number, f'more {noun}')} {'are' if number > 1 else 'is'} not drawn." if number else ""
