"""The sentences over figures, and the identifiers of their views."""

import re
from collections.abc import Sequence

_MOST_CHARACTERS = 249
_MOST_OF_A_NAME = 60
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def sentence_of(clauses: Sequence[str], of: str = "methods") -> str:
    """Return ``clauses`` as one sentence of less than 250 characters, joined by semicolons.

    Those for which there is no room are left out, and the sentence says how many.

    Args:
        clauses: at least one, the most important first.
        of: what the clauses are about, as in ``and 3 more methods``.
    """
    for count in range(len(clauses), 0, -1):
        rest = len(clauses) - count
        parts = [*clauses[:count], *([f"and {rest} more {of}"] if rest else [])]
        text = f"{'; '.join(parts)}."
        if len(text) <= _MOST_CHARACTERS:
            return text
    return f"{clauses[0][: _MOST_CHARACTERS - 1]}…"


def joined(names: Sequence[str]) -> str:
    """Return ``names`` as a list in words: ``a, b and c``."""
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def view_names(choices: Sequence[str]) -> list[str]:
    """Return an identifier for each of ``choices``: lower-case letters, digits and hyphens, each once."""
    names: list[str] = []
    for choice in choices:
        plain = _NOT_PLAIN.sub("-", choice.lower())[:_MOST_OF_A_NAME].strip("-") or "view"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def left_out_text(count: int, of: str) -> str:
    """Return a sentence that says how many ``of`` are not drawn, with a space before it; empty if all are."""
    return f" {count} more {of} are not drawn." if count else ""
