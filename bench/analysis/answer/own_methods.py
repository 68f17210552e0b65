"""The sentence on methods of somebody's own, which do not come with sid-bench."""

from collections.abc import Sequence

from bench.analysis.answer.methods import Method

_MOST_NAMED = 3


def own_methods_sentence(subject: Method, texts: Sequence[str], compared: str = "") -> str:
    """Return what the methods of one's own have, besides ``subject``; empty without any.

    Args:
        subject: the method that the answer is about.
        texts: one per method, in order; of many, the first and the last are named.
        compared: follows the name, as in ``Your own method minus BP``.
    """
    if not texts:
        return ""
    name = f"Your {'other' if subject.kind == 'own' else 'own'} method{'s' if len(texts) > 1 else ''}{compared}"
    if len(texts) > _MOST_NAMED:
        return f"{name}, {len(texts)}: {texts[0]} to {texts[-1]}."
    return f"{name}: {'; '.join(texts)}."
