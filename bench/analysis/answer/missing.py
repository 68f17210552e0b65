"""The command that measures what an answer lacks."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench.analysis.answer.methods import Method
from bench.analysis.answer.records import Page
from bench.analysis.headline import largest_row
from bench.analysis.inference.pairing import Entry, paired_axes
from bench.config.alpha import alpha_text
from bench.config.axes import axes
from bench.config.cell import Pass
from bench.config.check import OPTIMIZER_PRESETS, make_cell
from bench.config.datasets import known_dataset
from bench.config.methods import BASELINE, known_method
from bench.config.networks import known_network
from bench.config.plugins import is_reference
from bench.errors import ConfigError

Values = dict[str, Any]

# As many processes and seeds as give an interval that is worth having.
_REPEATED: Mapping[Pass, Values] = MappingProxyType(
    {"latency": {"processes": 5}, "accuracy": {"seed": ",".join(map(str, range(10)))}}
)
_WITH_LABELS: Values = {"dataset": "digits", "image_size": None, "channels": None, "classes": None}


def command_for(page: Page, subject: Method, wanted: Pass, record: str | None = None) -> str | None:
    """Return the command that measures a method and BP in one pass; None where no such cell is legal.

    The cell is that of ``record``; without it the largest of the method's.
    """
    entries = {entry.record.id: entry for entry in page.methods[subject]}
    entry = entries[record or str(largest_row(page.rows(entries))["id"])]
    row = known_method(subject.method)
    own: Values = subject.selection
    if subject.ranks > 1 and wanted == "accuracy":  # which trains on one rank
        own = {"method": None if row is None else row.on_one_rank}
    methods = [str(own["method"])] if own.get("ranks", 1) > 1 else [BASELINE, str(own["method"])]
    cell = _cell(entry, wanted) | {name: value for name, value in own.items() if name != "method"}
    if not all(_is_legal(cell | {"method": method, "passes": (wanted,)}) for method in methods):
        return None
    given = {"method": ",".join(dict.fromkeys(methods)), **cell, "passes": wanted, **_REPEATED.get(wanted, {})}
    return "sid-bench run " + " ".join(
        f"--set {shlex.quote(f'{name}={_text(value)}')}" for name, value in given.items()
    )


def _cell(entry: Entry, wanted: Pass) -> Values:
    """Return the data set and the axes of the cell that are not at their usual value."""
    values = dict(entry.values)
    row = known_dataset(values["dataset"])
    if wanted == "accuracy" and row is not None and not row.is_labelled:
        values |= _WITH_LABELS
    usual = {name: axis.default for name, axis in axes().items()} | OPTIMIZER_PRESETS.get(values["optimizer"], {})
    if not values["noise_rate"]:
        usual["noise_kind"] = values["noise_kind"]
    paired = set(paired_axes(wanted, entry))
    names = [name for name in axes() if name in paired]
    return {"dataset": values["dataset"]} | {
        name: values[name] for name in names if values[name] is not None and values[name] != usual[name]
    }


def _is_legal(values: Values) -> bool:
    """Return whether a cell can be made of ``values``; code of somebody's own is not loaded to find out."""
    named = {"method": known_method, "network": known_network, "dataset": known_dataset}
    for axis, known in named.items():
        name = values.get(axis, axes()[axis].default)
        if name is None or (not is_reference(name) and known(name) is None):
            return False
        if is_reference(name):
            return True
    try:
        make_cell(values)
    except ConfigError:
        return False
    return True


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return alpha_text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
