"""The methods of a page, and the one that its answers are about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bench.analysis.statistics.pairing import Entry, method_axes
from bench.config.axes import axes
from bench.config.methods import BASELINE, PLAIN, is_of_bp, is_of_sid, known_method

Kind = Literal["sid", "own", "other", "bp"]
_KINDS: tuple[Kind, ...] = ("sid", "own", "other", "bp")


@dataclass(frozen=True)
class Method:
    """A method with its settings.

    Attributes:
        method: its name in the records.
        settings: the axes that belong to it and are not at their default, with their values.
    """

    method: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def selection(self) -> dict[str, Any]:
        """Its axes, as a :class:`bench.analysis.statistics.provider.Request` takes them."""
        return {"method": self.method, **dict(self.settings)}

    @property
    def is_baseline(self) -> bool:
        """It is BP without settings."""
        return self.method == BASELINE and not self.settings

    @property
    def has_gradients_of_bp(self) -> bool:
        """It trains as BP does, and differs in how it gets the same gradients: recomputation, micro-batches."""
        return is_of_bp(self.method) and self.method != PLAIN

    @property
    def ranks(self) -> int:
        """The number of ranks that it ran on."""
        return int(dict(self.settings).get("ranks", 1))

    @property
    def kind(self) -> Kind:
        """``sid`` with SID's objective, ``own`` if it does not come with sid-bench, ``bp`` for BP with settings."""
        if is_of_sid(self.method):
            return "sid"
        row = known_method(self.method)
        if row is None or row.source != "sid-bench":
            return "own"
        return "bp" if self.method == BASELINE else "other"

    @property
    def name(self) -> str:
        """The name for a sentence: ``bp recompute modules``."""
        return _name(self)


@cache
def _name(method: Method) -> str:
    settings = dict(method.settings)
    ranks = settings.pop("ranks", 1)
    words = " and ".join(axes()[name].words(value) for name, value in settings.items())
    return f"{method.method}{words and f' {words}'}{'' if ranks == 1 else f' on {ranks} ranks'}"


BP = Method(BASELINE)


def methods_of(entries: Iterable[Entry]) -> dict[Method, list[Entry]]:
    """Return the records of each method whose status is ``ok``."""
    return by_method(entry for entry in entries if entry.record.status == "ok")


def by_method(entries: Iterable[Entry]) -> dict[Method, list[Entry]]:
    """Return the records of each method."""
    usual = {name: axis.default for name, axis in axes().items() if name in method_axes() and name != "method"}
    found: dict[Method, list[Entry]] = {}
    for entry in entries:
        values = entry.values
        own = [(name, values[name]) for name, default in usual.items() if values.get(name) not in (None, default)]
        found.setdefault(Method(values["method"], tuple(own)), []).append(entry)
    return found


def subject_of(methods: Mapping[Method, Sequence[Entry]]) -> Method | None:
    """Return the method that the answers are about; None if there is none but BP.

    Methods of SID come first, then those that do not come with sid-bench, then the others, and BP with settings last.
    Where most methods of the page ran on several ranks, these come before those on one. The one with the most results
    counts; of equals one with the usual settings, then the one whose largest number of activation bytes is the
    smallest, and then the one that comes first in the list of methods.
    """
    candidates = [method for method in methods if not method.is_baseline]
    if not candidates:
        return None
    kind = min(_KINDS.index(method.kind) for method in candidates)
    of_kind = [method for method in candidates if _KINDS.index(method.kind) == kind]
    is_on_ranks = 2 * sum(method.ranks > 1 for method in candidates) > len(candidates)
    chosen = [method for method in of_kind if is_on_ranks and method.ranks > 1] or of_kind
    return min(chosen, key=lambda method: _rank(method, methods[method]))


def _rank(method: Method, entries: Sequence[Entry]) -> tuple[Any, ...]:
    """Return what the candidates are sorted by; ranks are settings that all of them may have."""
    has_settings = any(name != "ranks" for name, _ in method.settings)
    return -_results(entries), has_settings, _most_bytes(entries), _place(method)


def _results(entries: Sequence[Entry]) -> int:
    """Return the number of results that can be used."""
    records = [entry.record for entry in entries]
    return sum(
        (record.memory is not None)
        + (record.latency is not None and record.latency.noisy_because is None)
        + (record.accuracy is not None)
        for record in records
    )


def _most_bytes(entries: Sequence[Entry]) -> int:
    sizes = [entry.record.memory.peak_activation_bytes for entry in entries if entry.record.memory is not None]
    return max(sizes, default=0)


def _place(method: Method) -> tuple[float, int, str]:
    row = known_method(method.method)
    order = None if row is None else row.order
    return float("inf") if order is None else order, len(method.settings), method.name
