"""For each statistic: which pass measures it, when a record cannot be used, and how records are compared in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from bench.analysis.statistics.comparison import Outcome
from bench.analysis.statistics.costs import activation_bytes, compare_bytes, inference_bytes, total_bytes, why_no_bytes
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.times import Timed
from bench.analysis.statistics.training import (
    ByModule,
    When,
    accuracies_by_module,
    compare_accuracies,
    divergences_by_module,
    why_not_trained,
)
from bench.analysis.statistics.usable import WhyNot
from bench.analysis.statistics.waits import compare_locked_shares, why_not_traced
from bench.config.cell import Pass
from bench.config.methods import BASELINE
from bench.store.measurements.inference import Inference
from bench.store.measurements.latency import Latency
from bench.store.record import Record


@dataclass(frozen=True)
class OfTwo:
    """A statistic that compares records of two cells.

    Attributes:
        measured_in: the pass that measures it.
        why_not: why a record of the first or of the second method cannot be used, or None.
        compare: records of the first and of the second method, 1 or more each, all usable.
        of_one_machine: it depends on the machine.
    """

    measured_in: Pass
    why_not: tuple[WhyNot, WhyNot]
    compare: Callable[[Sequence[Entry], Sequence[Entry]], Outcome]
    of_one_machine: bool = False


@dataclass(frozen=True)
class OfOne:
    """A statistic that compares the modules of one cell.

    Attributes:
        measured_in: the pass that measures it.
        why_not: why a record cannot be used, or None.
        compare: of usable records, 1 or more, the outcome of each module from the second on.
    """

    measured_in: Pass
    why_not: WhyNot
    compare: Callable[[Sequence[Entry]], ByModule]


def _bytes(read: Callable[..., int | None], measured_in: Pass = "memory") -> OfTwo:
    why_not = partial(why_no_bytes, read)
    return OfTwo(measured_in, (why_not, why_not), partial(compare_bytes, read))


def _accuracies(first: When, second: When) -> OfTwo:
    why_not = partial(why_not_trained, first), partial(why_not_trained, second)
    return OfTwo("accuracy", why_not, partial(compare_accuracies, when=(first, second)))


def _latency(record: Record) -> Latency | None:
    return record.latency


def _inference(record: Record) -> Inference | None:
    return record.inference


OF_TWO: Mapping[str, OfTwo] = MappingProxyType(
    {
        "activation_bytes": _bytes(activation_bytes),
        "total_bytes": _bytes(total_bytes),
        "inference_bytes": _bytes(inference_bytes, "inference"),
        "locked_share": OfTwo("latency", (why_not_traced, why_not_traced), compare_locked_shares, of_one_machine=True),
        "accuracy_last": _accuracies("last", "last"),
        "accuracy_chosen": _accuracies("chosen", "chosen"),
        "accuracy_last_against_chosen": _accuracies("last", "chosen"),
    }
)

OF_ONE: Mapping[str, OfOne] = MappingProxyType(
    {
        "accuracy_by_module": OfOne("accuracy", partial(why_not_trained, "last"), accuracies_by_module),
        "divergence_by_module": OfOne("accuracy", partial(why_not_trained, "last"), divergences_by_module),
    }
)

TIMED: Mapping[str, Timed] = MappingProxyType(
    {
        "step_time": Timed("latency", _latency, {"method": BASELINE}),
        "throughput": Timed("latency", _latency, {"method": BASELINE}, is_rate=True),
        "inference_time": Timed("inference", _inference, {"method": BASELINE, "modules": 1}),
    }
)
