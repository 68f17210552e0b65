"""Bytes by category, from the events of the exact instrument: at the peak, and over the course of the step."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

from torch import Tensor, nn

from bench.measure.memory.storages import Event, Region, StorageMeter
from bench.measure.phases import LETTERS, follow_phases
from bench.store.measurements.memory import CreatedBytes, Timeline
from sid_core.phases import Phase

_POINTS = 100


class _Moment(NamedTuple):
    """Live bytes by category after ``operator`` operators."""

    operator: int
    phase: Phase
    live: tuple[int, int, int, int]  # in the order of _CATEGORIES

    @property
    def total(self) -> int:
        return sum(self.live)


# Names of the categories by (whether it is an activation, region).
_CATEGORIES: dict[tuple[bool, Region], str] = {
    (True, "trunk"): "activation_trunk",
    (True, "modules"): "activation_modules",
    (False, "trunk"): "temporary_trunk",
    (False, "modules"): "temporary_modules",
}


@contextmanager
def phase_and_region_for(meter: StorageMeter, trunk: nn.Module) -> Iterator[None]:
    """Set the phase and the region of ``meter`` while a step runs in the context.

    The trunk's backward pass begins when the gradient of its output is complete, and ends with the backward pass of the
    step.
    """

    def enter(phase: Phase, _module: int | None) -> None:
        meter.enter(phase)
        meter.region = "modules"

    def trunk_begins(_module: nn.Module, _inputs: Any) -> None:
        regions[threading.get_ident()].append(meter.region)
        meter.region = "trunk"

    def trunk_ends(_module: nn.Module, _inputs: Any, features: Any) -> None:
        meter.region = regions[threading.get_ident()].pop()
        if isinstance(features, Tensor) and features.requires_grad:
            features.register_hook(backward_reaches_trunk)

    def backward_reaches_trunk(_gradient: Tensor) -> None:
        meter.region = "trunk"

    regions: defaultdict[int, list[Region]] = defaultdict(list)
    # A rule that recomputes may call the children of the trunk instead of the trunk, so the hooks are on the children.
    parts = list(trunk) if type(trunk) is nn.Sequential and len(trunk) else [trunk]
    hooks = []
    for part in parts:
        hooks += [part.register_forward_pre_hook(trunk_begins), part.register_forward_hook(trunk_ends)]
    try:
        with follow_phases(enter, every_thread=True):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def at_peak(events: Sequence[Event]) -> CreatedBytes:
    """Return the bytes of each category at the first moment of the peak."""
    peak = max(_moments(events), key=lambda moment: moment.total, default=None)
    live = peak.live if peak is not None else (0, 0, 0, 0)
    return CreatedBytes(**dict(zip(_CATEGORIES.values(), live, strict=True)))


def timeline(events: Sequence[Event], operators: int) -> Timeline:
    """Return live bytes over the step, in up to about 100 intervals of equal length, at the peak of each interval."""
    interval = max(1, -(-operators // _POINTS))
    points = [
        max(moments, key=lambda moment: moment.total)
        for _, moments in groupby(_moments(events), key=lambda moment: moment.operator // interval)
    ]
    series = {name: [point.live[index] for point in points] for index, name in enumerate(_CATEGORIES.values())}
    return Timeline(
        operators=operators,
        at=[point.operator for point in points],
        phase="".join(LETTERS[point.phase] for point in points),
        **series,
    )


def _moments(events: Sequence[Event]) -> Iterator[_Moment]:
    """Yield the live bytes after each event."""
    live = dict.fromkeys(_CATEGORIES, 0)
    for event in events:
        live[event.storage.is_activation, event.storage.region] += event.bytes
        yield _Moment(event.operator, event.phase, (*live.values(),))  # type: ignore[arg-type]
