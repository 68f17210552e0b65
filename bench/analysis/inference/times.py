"""Step times of two methods, each as a ratio to BP from the same interleaved blocks.

Times of different processes are never divided by each other: BP's own step differs by up to 1.9 times between processes
of one machine. So a ratio of two methods is the ratio of their ratios to BP, and one to BP itself needs one record.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from bench.analysis.inference.estimate import Estimate
from bench.analysis.inference.pairing import Entry
from bench.analysis.inference.units import estimate_over, log_ratios


def why_not_timed(entry: Entry) -> str | None:
    """Return why the step time of a record cannot be used, or None."""
    latency = entry.record.latency
    if latency is None:
        return "the record holds no latency"
    if sum(latency.blocks_by_process) != len(latency.blocks_seconds) or 0 in latency.blocks_by_process:
        return "the record does not say which blocks are of which process"
    return None if latency.noisy_because is None else f"the latency is noisy: {latency.noisy_because}"


def log_ratio_to_bp(entries: Sequence[Entry]) -> Estimate:
    """Return the log-ratio of a method's step time to BP's over all processes of 1 or more records of one cell."""
    of_method, of_bp = [], []
    for latency in (entry.record.latency for entry in entries):
        if latency is not None:
            blocks = np.array(latency.blocks_seconds)
            for start, end in pairwise(accumulate(latency.blocks_by_process, initial=0)):
                of_method.append(blocks[start:end, [0, 3]])
                of_bp.append(blocks[start:end, [1, 2]])
    return estimate_over("processes", log_ratios(of_method, of_bp))
