"""The latency of a cell, from the samples of its processes."""

from collections.abc import Sequence

import numpy as np

from bench.analysis.ratio import Ratio, Seconds, ratio_of
from bench.analysis.reliability import noisy_because
from bench.store.measurements.latency import Latency, Shares, TimedProcess
from bench.store.sample import Sample


def summarise(
    samples: Sequence[Sample],
    batch_size: int,
    *,
    shares: Shares | None = None,
    is_baseline: bool = False,
    unreliable_because: Sequence[str] = (),
    compared_with: str = "BP",
) -> Latency:
    """Ratio, interval, verdict and spread of the blocks of all processes.

    See :func:`bench.analysis.ratio.ratio_of` and :func:`bench.analysis.reliability.noisy_because`.

    Args:
        samples: one per process.
        batch_size: labels a step.
        shares: goes into the result as it is.
        is_baseline: whether the cell is BP's, whose ratio should be 1.
        unreliable_because: reasons that are known beside the samples.
        compared_with: what the cell is compared with, in the words of ``noisy_because``.
    """
    processes = _blocks(samples)
    blocks = np.concatenate(processes)
    own, baseline = blocks[:, [0, 3]], blocks[:, [1, 2]]
    ratio = ratio_of(processes)
    timed = [_timed_process(sample) for sample in samples]
    reasons = [*unreliable_because, noisy_because(processes, ratio, is_baseline, timed, compared_with)]
    return Latency(
        median_seconds=float(np.median(own)),
        iqr_seconds=_iqr(own),
        bp_median_seconds=float(np.median(baseline)),
        bp_iqr_seconds=_iqr(baseline),
        ratio_to_bp=ratio.value,
        ratio_ci95=(ratio.low, ratio.high),
        samples_per_second=batch_size / float(np.median(own)),
        noisy_because="; ".join(filter(None, reasons)) or None,
        shares=shares,
        loops=samples[0].loops,
        warm_up_steps=sum(sample.warm_up_steps for sample in samples),
        blocks_by_process=[len(process) for process in processes],
        blocks_seconds=[(float(a), float(b), float(c), float(d)) for a, b, c, d in blocks.round(9)],
        processes=timed,
        compile_seconds=next(
            (sample.compile_seconds for sample in samples if sample.compile_seconds is not None), None
        ),
    )


def ratio_of_samples(samples: Sequence[Sample]) -> Ratio:
    """Return the ratio of two steps with its interval, see :func:`bench.analysis.ratio.ratio_of`."""
    return ratio_of(_blocks(samples))


def _blocks(samples: Sequence[Sample]) -> list[Seconds]:
    return [np.array(sample.blocks_seconds) for sample in samples]


def _timed_process(sample: Sample) -> TimedProcess:
    blocks = np.array(sample.blocks_seconds)
    return TimedProcess(
        median_seconds=float(np.median(blocks[:, [0, 3]])),
        bp_median_seconds=float(np.median(blocks[:, [1, 2]])),
        usage=sample.usage,
        bp_usage=sample.bp_usage,
        parallel_efficiency=sample.parallel_efficiency,
        exchange_speed=sample.exchange_speed,
    )


def _iqr(seconds: Seconds) -> float:
    return float(np.subtract(*np.percentile(seconds, [75, 25])))
