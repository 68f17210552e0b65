"""Records as columns, and back.

A record is a tree of JSON. Its leaves become columns: the path of a leaf is the keys to it, joined by full stops. Lists
are leaves, and so is a dictionary that is empty or has a key with a full stop in it.

A column is a dictionary with either ``a``, a value per record, or ``v`` and ``i``: values, of which equal ones that are
no long lists stand there once, and for each record the index of its value, -1 where the record does not have the path.
A value whose integers a script cannot hold exactly stands under ``exact`` once more, by its index in ``a`` or ``v``, as
a text of JSON.
"""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

Content = dict[str, Any]
Column = dict[str, Any]

ABSENT = -1
_MOST_EXACT = 2**53 - 1  # of a number of JavaScript
_MOST_REPEATED = 8  # parts of a list that may be in many records, such as the shape of an image
# Digits as one digit and signs as none, so that a plain search finds integers of 16 digits or more.
_ALIKE = bytes.maketrans(b"0123456789[:", b"0000000000,,")
_LONG_INTEGER = b"," + b"0" * 16
# Types of which Python takes two values for equal if, and only if, JSON has one text for them.
_EQUAL_AS_IN_JSON = {str, type(None)}
_WITHOUT_INTEGERS = {str, type(None), bool, float}


@dataclass
class _Node:
    """A key of records: those that have a leaf there, its values, and the keys in it."""

    held: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    parts: dict[str, "_Node"] = field(default_factory=dict)


def columns_of(records: Sequence[Content]) -> dict[str, Column]:
    """Return the columns of ``records``, from which :func:`records_of` makes the same records.

    Args:
        records: as JSON has them: dictionaries with texts as keys, lists, texts, numbers, truth values and None.
    """
    root = _Node()
    for number, record in enumerate(records):
        _collect(root.parts, record, number)
    return {path: _column(node.held, node.values, len(records)) for path, node in _leaves(root, "")}


def column_of(values: Sequence[Any]) -> Column:
    """Return the column of ``values``, one per record."""
    return _column(range(len(values)), values, len(values))


def records_of(count: int, *columns: Mapping[str, Column]) -> list[Content]:
    """Return the records that ``columns`` were made of.

    Args:
        count: the number of records.
        columns: of distinct paths.
    """
    records: list[Content] = [{} for _ in range(count)]
    for path, column in ((path, column) for part in columns for path, column in part.items()):
        *outer, last = path.split(".")
        for number, value in values_of(column):
            place = records[number]
            for key in outer:
                place = place.setdefault(key, {})
            place[last] = value
    return records


def values_of(column: Column) -> Iterable[tuple[int, Any]]:
    """Yield the number of each record that has the column, and its value."""
    if "a" in column:
        yield from enumerate(column["a"])
    else:
        yield from ((number, column["v"][index]) for number, index in enumerate(column["i"]) if index != ABSENT)


def _collect(nodes: dict[str, _Node], content: Content, number: int) -> None:
    """Add the leaves of ``content``, the part of a record at ``nodes``."""
    for key, value in content.items():
        try:
            node = nodes[key]
        except KeyError:
            node = nodes[key] = _Node()
        if type(value) is dict and value and "." not in "".join(value):
            _collect(node.parts, value, number)
        else:
            node.held.append(number)
            node.values.append(value)


def _leaves(node: _Node, prefix: str) -> Iterable[tuple[str, _Node]]:
    for key, part in node.parts.items():
        if part.held:
            yield prefix + key, part
        yield from _leaves(part, f"{prefix}{key}.")


def _column(held: Sequence[int], values: Sequence[Any], count: int) -> Column:
    identities = _identities(values)
    places = {identity: place for place, identity in enumerate(dict.fromkeys(identities))}
    if len(held) == count and 2 * len(places) > count:
        return {"a": list(values)} | _exact(values)
    distinct = list(dict(zip(identities, values, strict=True)).values())
    indices = [places[identity] for identity in identities]
    if len(held) < count:
        of_record = [ABSENT] * count
        for number, index in zip(held, indices, strict=True):
            of_record[number] = index
        indices = of_record
    return {"v": distinct, "i": indices} | _exact(distinct)


def _identities(values: Sequence[Any]) -> Sequence[Hashable]:
    """Return what tells ``values`` apart: JSON has 1, 1.0 and true, which Python takes for equal.

    Long lists and dictionaries are taken for different ones.
    """
    kinds = set(map(type, values))
    if kinds <= _EQUAL_AS_IN_JSON or kinds == {int}:
        return values
    if kinds == {float}:
        return list(map(repr, values))
    return list(map(_identity, values))


def _identity(value: Any) -> Hashable:
    kind = type(value)
    if kind is list or kind is dict:
        return repr(value) if len(value) <= _MOST_REPEATED else id(value)
    return (kind, repr(value)) if kind is float else (kind, value)


def _exact(values: Sequence[Any]) -> dict[str, dict[str, str]]:
    """Return the texts of values with long integers."""
    if set(map(type, values)) <= _WITHOUT_INTEGERS or not _has_long_integer(values):
        return {}
    return {"exact": {str(index): json.dumps(value) for index, value in enumerate(values) if _is_inexact(value)}}


def _is_inexact(value: Any) -> bool:
    return _has_long_integer([value]) if isinstance(value, list | dict) else _is_too_large(value)


def _is_too_large(value: Any) -> bool:
    return type(value) is int and abs(value) > _MOST_EXACT


def _has_long_integer(values: Sequence[Any]) -> bool:
    """Return whether a number in ``values`` may be an integer that a script cannot hold."""
    return _LONG_INTEGER in to_json(values).translate(_ALIKE, b"-")
