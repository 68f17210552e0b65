"""The command that measures one cell."""

import shlex
from functools import lru_cache
from typing import Any

from bench.config.axes import axes, values_of
from bench.config.cell import Cell
from bench.config.check import OPTIMIZER_PRESETS
from bench.config.sweep import parse_override
from bench.errors import ConfigError

# What ``sid-bench run`` measures without a suite differs from the defaults of a cell in these.
_WITHOUT_SUITE: dict[str, Any] = {"dataset": "random", "passes": ("memory", "latency")}
# Always given: other axes take their value from these, or the command would measure other methods, too.
_ALWAYS = frozenset({"method", "depth", "modules"})


def command_of(cell: Cell) -> str | None:
    """Return the command that measures ``cell`` and nothing else, for a shell; None if options cannot say it.

    Options cannot say a text with a comma, or one that reads as a number.
    """
    values = values_of(cell)
    usual = {name: row.default for name, row in axes().items()} | OPTIMIZER_PRESETS.get(cell.optimizer, {})
    usual |= {"noise_kind": "none"} | _WITHOUT_SUITE
    words = ["sid-bench", "run"]
    for name, value in values.items():
        if value is None or (name not in _ALWAYS and value == usual.get(name)):
            continue
        option = _option(name, value)
        if option is None:
            return None
        words += ["--set", option]
    return shlex.join([*words, "--out", f"results/{cell.id}.jsonl"])


@lru_cache(maxsize=4096, typed=True)
def _option(name: str, value: Any) -> str | None:
    """Return ``value`` as ``--set`` takes it; None if it reads as something else there."""
    wanted: Any = list(value) if isinstance(value, tuple) else value
    text = ("," if name == "passes" else ":").join(map(_text, wanted)) if isinstance(wanted, list) else _text(wanted)
    option = f"{name}={text}"
    try:
        read = parse_override(option)
    except ConfigError:
        return None
    return option if read == (name, [wanted]) and type(read[1][0]) is type(wanted) else None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
