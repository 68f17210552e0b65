"""What a section of the page is."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from bench.report.figures.figure import Figure
from bench.report.inputs import Inputs


@dataclass(frozen=True)
class Section:
    """A section that the page may have.

    Attributes:
        name: its identifier on the page, and the name of its template.
        title: its heading.
        content: makes what the template shows, its variable ``content``; None if the records have nothing for it.
        is_slow: whether it can take seconds, as drawing does.
    """

    name: str
    title: str
    content: Callable[[Inputs], Any | None]
    is_slow: bool = False


@dataclass(frozen=True)
class Filled:
    """A section of one page."""

    name: str
    title: str
    content: Any


def figures_of(sections: Iterable[Filled]) -> Iterator[Figure]:
    """Yield the figures in the contents of ``sections``: fields that are one, or a list or tuple of some."""
    for section in sections:
        for held in fields(section.content) if is_dataclass(section.content) else ():
            value = getattr(section.content, held.name)
            yield from (
                part for part in (value if isinstance(value, list | tuple) else [value]) if isinstance(part, Figure)
            )
