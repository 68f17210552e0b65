"""The command that measures one cell."""

import shlex
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from bench.config.axes import values_of
from bench.config.cell import Cell
from bench.config.label import usual_values
from bench.config.methods import known_method
from bench.config.sweep import parse_override, value_text
from bench.errors import ConfigError

# What ``sid-bench run`` measures without a suite differs from the defaults of a cell in these.
_WITHOUT_SUITE: dict[str, Any] = {"dataset": "random", "passes": ("memory", "latency")}
# Always given: other axes take their value from these, or the command would measure other methods, too.
_ALWAYS = frozenset({"method", "depth", "modules"})


def command_of(
    cell: Cell, results: str | None = None, several: Mapping[str, Sequence[Any]] | None = None
) -> str | None:
    """Return the command that measures ``cell`` and nothing else, for a shell; None if options cannot say it.

    Options cannot say a text with a comma, or one that reads as a number.

    Args:
        cell: what is measured.
        results: the results file that the command appends to; the usual one if left out.
        several: axes with all of their values, in place of that of the cell.
    """
    several = several or {}
    usual = _usual(cell.optimizer)
    method = known_method(cell.method)
    named = _ALWAYS.union(several, () if method is None else method.presets)  # a preset is not the usual value
    words = ["sid-bench", "run"]
    for name, value in values_of(cell).items():
        if value is None or (name not in named and value == usual.get(name)):
            continue
        options = [_option_of(name, one) for one in several.get(name, (value,))]
        if None in options:
            return None
        words += ["--set", f"{name}={','.join([str(option).partition('=')[2] for option in options])}"]
    return shlex.join(words if results is None else [*words, "--out", results])


@cache
def _usual(optimizer: str) -> dict[str, Any]:
    return {**usual_values(optimizer), **_WITHOUT_SUITE}


def _option_of(name: str, value: Any) -> str | None:
    """Return ``value`` as ``--set`` takes it; None for a table and a list in a list, too, which it cannot say."""
    known = tuple(value) if isinstance(value, list) else value
    try:
        hash(known)
    except TypeError:
        return None
    return _option(name, known)


@lru_cache(maxsize=4096, typed=True)
def _option(name: str, value: Any) -> str | None:
    """Return ``value`` as ``--set`` takes it; None if it reads as something else there."""
    wanted: Any = list(value) if isinstance(value, tuple) else value
    option = f"{name}={value_text(value)}"
    try:
        read = parse_override(option)
    except ConfigError:
        return None
    return option if read == (name, [wanted]) and type(read[1][0]) is type(wanted) else None
