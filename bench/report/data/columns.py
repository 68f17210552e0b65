"""Records as columns, and back.

A record is a tree of JSON. Its leaves become columns: the path of a leaf is the keys to it, joined by full stops. Lists
are leaves, and so is a dictionary that is empty or has a key with a full stop in it. A column of a path that some
records do not have, or whose values repeat, holds each distinct value once.

A column is a dictionary with either ``a``, a value per record, or ``v``, the distinct values, and ``i``, for each
record the index of its value, -1 where the record does not have the path. A value whose integers a script cannot hold
exactly stands under ``exact`` once more, by its index in ``a`` or ``v``, as a text of JSON.
"""

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

Content = dict[str, Any]
Column = dict[str, Any]

ABSENT = -1
_MOST_EXACT = 2**53 - 1  # of a number of JavaScript
_LONG_INTEGER = re.compile(r"(?<![\d.eE+-])-?\d{16,}(?![\d.eE])")


def columns_of(records: Sequence[Content]) -> dict[str, Column]:
    """Return the columns of ``records``, from which :func:`records_of` makes the same records.

    Args:
        records: as JSON has them: dictionaries with texts as keys, lists, texts, numbers, truth values and None.
    """
    found: dict[str, tuple[list[int], list[Any]]] = {}  # the records that have the path, and their values
    for number, record in enumerate(records):
        for path, value in _leaves(record, ""):
            entry = found.get(path)
            if entry is None:
                entry = found[path] = ([], [])
            entry[0].append(number)
            entry[1].append(value)
    return {path: _column(held, values, len(records)) for path, (held, values) in found.items()}


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


def _leaves(value: Content, prefix: str) -> Iterable[tuple[str, Any]]:
    for key, part in value.items():
        if isinstance(part, dict) and part and not any("." in inner for inner in part):
            yield from _leaves(part, f"{prefix}{key}.")
        else:
            yield prefix + key, part


def _column(held: Sequence[int], values: Sequence[Any], count: int) -> Column:
    places: dict[Hashable, int] = {}
    indices = [places.setdefault(_identity(value), len(places)) for value in values]
    if len(held) == count and 2 * len(places) > count:
        return {"a": list(values)} | _exact(values)
    distinct: list[Any] = [None] * len(places)
    for index, value in zip(indices, values, strict=True):
        distinct[index] = value
    if len(held) < count:
        of_record = [ABSENT] * count
        for number, index in zip(held, indices, strict=True):
            of_record[number] = index
        indices = of_record
    return {"v": distinct, "i": indices} | _exact(distinct)


def _identity(value: Any) -> Hashable:
    """Return what tells values apart: JSON has 1, 1.0 and true, which Python takes for equal."""
    kind = type(value)
    if kind is list or kind is dict:
        return kind, json.dumps(value)
    return (kind, repr(value)) if kind is float else (kind, value)


def _exact(values: Sequence[Any]) -> dict[str, dict[str, str]]:
    texts = {str(index): json.dumps(value) for index, value in enumerate(values) if _has_long_integer(value)}
    return {"exact": texts} if texts else {}


def _has_long_integer(value: Any) -> bool:
    if isinstance(value, list | dict):
        return _LONG_INTEGER.search(json.dumps(value)) is not None
    return type(value) is int and abs(value) > _MOST_EXACT
