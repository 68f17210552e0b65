"""Marks of a drawing that the page's script finds again: points with their row, and what belongs to a series.

A drawing sets :func:`mark_gid` and :func:`series_gid` on its artists (``artist.set_gid``). matplotlib writes them as
identifiers, and :func:`with_attributes` turns them into attributes, so that several drawings can share a page.
"""

import html
import re
from urllib.parse import quote, unquote

_GID = re.compile(r'<g id="(mark|series):([^"]*)">')
_ID = re.compile(r'\bid="')
_REFERENCE = re.compile(r'(url\(#|href="#)')


def mark_gid(row: int, series: str) -> str:
    """Return the identifier of the mark of a row of the view's data."""
    return f"mark:{row}:{quote(series, safe='')}"


def series_gid(series: str) -> str:
    """Return the identifier of a line, an error bar or a label of a series."""
    return f"series:{quote(series, safe='')}"


def with_attributes(svg: str, prefix: str, *, is_hidden: bool = True) -> str:
    """Return ``svg`` with attributes in place of the identifiers of marks, and a prefix on every other identifier.

    A mark is ``<g class="mark" data-mark="0" data-series="bp">``, the rest of a series ``<g data-series="bp">``.

    Args:
        svg: the ``<svg>`` element of a drawing.
        prefix: is put before other identifiers.
        is_hidden: whether assistive technology skips the drawing, as the element around it has the text alternative.
    """
    if is_hidden:
        svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
    return re.sub(r"<[^>]*>", lambda tag: _rewritten(tag[0], prefix), svg)


def _rewritten(tag: str, prefix: str) -> str:
    found = _GID.fullmatch(tag)
    if found:
        kind, text = found.groups()
        if kind == "series":
            return f'<g data-series="{_attribute(text)}">'
        row, _, series = text.partition(":")
        return f'<g class="mark" data-mark="{row}" data-series="{_attribute(series)}">'
    return _REFERENCE.sub(rf"\g<1>{prefix}-", _ID.sub(f'id="{prefix}-', tag))


def _attribute(quoted: str) -> str:
    return html.escape(unquote(quoted), quote=True)
