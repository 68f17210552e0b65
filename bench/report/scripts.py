"""The scripts of a page: which ones it has, without what a browser does not need, and the policy that allows them."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

# Plain scripts that share one scope, in the order in which they are inlined.
TABLES = ("elements.js", "numbers.js", "state.js", "tables.js")
REPORT = (
    *TABLES,
    "isolation.js",
    "long_tables.js",
    "files.js",
    "numbers_of_view.js",
    "images.js",
    "marks.js",
    "figures.js",
    "start.js",
)
# What needs the records. It is packed as they are, and started when they are read.
CELLS = ("values.js", "clipboard.js", "records.js", "query.js", "grid.js", "raw.js", "panel.js", "cells.js")
COMPARISON = (*TABLES, "choices.js", "start_comparison.js")
# Of each template: the scripts that run when it opens, and those that it holds packed.
OF_TEMPLATE = {"report.html.j2": (REPORT, CELLS), "compare.html.j2": (COMPARISON, ())}

_FOLDER = Path(__file__).parent / "script"
_WORD = r"[\w$\u0080-\uffff]"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
    | (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | (?P<word>{_WORD}+)
    | (?P<sign>=>|\+\+|--|[^\s\w$"'`/])
    """,
    re.DOTALL | re.VERBOSE,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
# Words after which a slash begins a regular expression.
_BEFORE_REGEX = frozenset(
    ("await", "case", "delete", "do", "else", "in", "instanceof", "new", "of", "return", "throw", "typeof", "void")
)
_ENDS_VALUE = re.compile(rf"(?:{_WORD}|[)\]}}\"'`])\Z")
_OPENING, _CLOSING = "{([,;:?=&|*<>", ")]},;.?:=&|*<>"  # after and before which the end of a line says nothing


@cache
def script_of(names: tuple[str, ...]) -> str:
    """Return the scripts with these names as one, :func:`stripped`."""
    return stripped("\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names))


def policy_of(scripts: Iterable[str]) -> str:
    """Return the Content-Security-Policy of a page that runs ``scripts`` and what they themselves add, and no other."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'strict-dynamic'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def stripped(script: str) -> str:
    """Return JavaScript without comments, and without the spaces and ends of lines that separate nothing."""
    kept: list[str] = []
    gap = before = ""
    for kind, token in tokens(script):
        if kind in ("space", "comment"):
            gap = "\n" if "\n" in gap + token else " "
            continue
        if kept and gap:
            kept.append(_separator(kept[-1], token, gap, is_regex=before == "regex"))
        kept.append(token)
        gap, before = "", kind
    return "".join(kept)


def tokens(script: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each token of JavaScript, which together are the script.

    Kinds are ``space``, ``comment``, ``text``, ``word``, ``sign``, ``template`` and ``regex``. A slash begins a regular
    expression unless a value stands before it: a word, a text, or the end of an expression in brackets.

    Raises:
        ValueError: a text, template or regular expression does not end.
    """
    at, before = 0, ""
    while at < len(script):
        kind, token = _next(script, at, before)
        yield kind, token
        at += len(token)
        if kind not in ("space", "comment"):
            before = token


def _next(script: str, at: int, before: str) -> tuple[str, str]:
    if script[at] == "`":
        return "template", script[at : _end_of_template(script, at)]
    if found := _TOKEN.match(script, at):
        assert found.lastgroup is not None  # noqa: S101 (every alternative is named)
        return found.lastgroup, found[0]
    if script[at] == "/":
        if _is_value(before):
            return "sign", "/"
        if regex := _REGEX.match(script, at):
            return "regex", regex[0]
    raise ValueError(f"script: {script[at : at + 20]!r} does not end")


def _is_value(token: str) -> bool:
    """Return whether an expression can end with ``token``."""
    return token in ("++", "--") or bool(_ENDS_VALUE.search(token) and token not in _BEFORE_REGEX)


def _end_of_template(script: str, start: int) -> int:
    """Return the position after the template that begins at ``start``, whose expressions may hold further ones."""
    at = start + 1
    while at < len(script):
        if script[at] == "\\":
            at += 2
        elif script[at] == "`":
            return at + 1
        elif script.startswith("${", at):
            at = _end_of_expression(script, at + 2)
        else:
            at += 1
    raise ValueError(f"script: {script[start : start + 20]!r} does not end")


def _end_of_expression(script: str, start: int) -> int:
    """Return the position after the brace that closes the expression at ``start`` within a template."""
    at, depth = start, 1
    for _, part in tokens(script[start:]):
        depth += {"{": 1, "}": -1}.get(part, 0)
        at += len(part)
        if depth == 0:
            return at
    raise ValueError(f"script: {script[start : start + 20]!r} does not end")


def _separator(before: str, after: str, gap: str, *, is_regex: bool) -> str:
    """Return what has to stand between two tokens that ``gap`` separates; the first may be a regular expression."""
    if "\n" in gap and before[-1] not in _OPENING and after[0] not in _CLOSING:
        return "\n"
    are_words = (is_regex or re.match(_WORD, before[-1])) and re.match(_WORD, after[0])
    are_signs = before[-1] in "+-/" and after[0] in "+-/"
    is_number = before[0].isdigit() and after[0] == "."
    return " " if are_words or are_signs or is_number else ""
