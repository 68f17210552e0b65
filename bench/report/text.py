"""Text for a page."""

import re

# A number with its unit, and an interval with the number before it: neither is broken into two lines.
_UNBROKEN = re.compile(r"\d (?:%|MiB|points)|(?:[\d.]+ )?\[[^\]]*\]")


def unbroken(text: str) -> str:
    """Return ``text`` with spaces that end no line within numbers."""
    return _UNBROKEN.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
