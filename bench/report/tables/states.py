"""The table of what the kernel and the probes said of the machine while steps were timed."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench.analysis.reliability import LEAST_EFFICIENCY
from bench.config.label import label
from bench.report.tables.limit import MOST_ROWS, Limited
from bench.report.tables.text import ABSENT
from bench.store.measurements.latency import Latency, StepUsage
from bench.store.record import Record

_COUNTERS = {
    "minor faults": "minor_faults",
    "voluntary switches": "voluntary_switches",
    "involuntary switches": "involuntary_switches",
}


def states_table(records: Iterable[Record], most: int = MOST_ROWS) -> Limited:
    """Return one row per timed cell with counters or probes, those that were disturbed most first.

    Counts are per step, of the process that has the most; of the method's steps and of BP's beside them.
    """
    timed = [
        (record, record.latency) for record in records if record.latency is not None and _was_watched(record.latency)
    ]
    timed.sort(key=lambda pair: _disturbance(pair[1]), reverse=True)
    rows = [
        {"cell": label(record.cell)} | _efficiency(latency) | _exchange(latency) | _usage(latency)
        for record, latency in timed[:most]
    ]
    return Limited(pd.DataFrame(rows), len(timed) - len(rows))


def _was_watched(latency: Latency) -> bool:
    return any(process.usage or process.bp_usage or process.parallel_efficiency for process in latency.processes or ())


def _disturbance(latency: Latency) -> tuple[float, float]:
    """Return how much parallel efficiency was missing, and the context switches of a step."""
    efficiencies = _efficiencies(latency)
    usages = [usage for process in latency.processes or () for usage in (process.usage, process.bp_usage) if usage]
    switches = max((usage.voluntary_switches + usage.involuntary_switches for usage in usages), default=0.0)
    return 1 - min(efficiencies, default=1.0), switches


def _efficiencies(latency: Latency) -> list[float]:
    return [value for process in latency.processes or () for value in process.parallel_efficiency or ()]


def _efficiency(latency: Latency) -> dict[str, str]:
    values = _efficiencies(latency)
    below = f"blocks below {LEAST_EFFICIENCY:.2f}"
    if not values:
        return dict.fromkeys(("parallel efficiency, median", "lowest", below), ABSENT)
    shared = sum(value < LEAST_EFFICIENCY for value in values)
    return {
        "parallel efficiency, median": f"{np.median(values):.2f}",
        "lowest": f"{min(values):.2f}",
        below: f"{shared} of {len(values)}",
    }


def _exchange(latency: Latency) -> dict[str, str]:
    """Return the speed at which threads exchanged data, over that of one thread."""
    values = [value for process in latency.processes or () for value in process.exchange_speed or ()]
    if not values:
        return dict.fromkeys(("data exchange, median", "slowest"), ABSENT)
    return {"data exchange, median": f"{np.median(values):.2f}", "slowest": f"{min(values):.2f}"}


def _usage(latency: Latency) -> dict[str, str]:
    columns: dict[str, str] = {}
    for words, name in _COUNTERS.items():
        columns[words] = _most(name, [process.usage for process in latency.processes or ()])
        columns[f"{words}, BP"] = _most(name, [process.bp_usage for process in latency.processes or ()])
    return columns


def _most(name: str, usages: list[StepUsage | None]) -> str:
    values = [getattr(usage, name) for usage in usages if usage is not None]
    return f"{max(values):,.1f}" if values else ABSENT
