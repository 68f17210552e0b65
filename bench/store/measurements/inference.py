"""Costs of a prediction."""

from bench.store.measurements.base import Amount, Frozen, Size
from bench.store.measurements.latency import TimedProcess


class Inference(Frozen):
    """A prediction of the network, in evaluation mode and without gradients, beside one of the plain network.

    The plain network is that of the same cell with one module: trunk or backbone, and one head.

    Attributes:
        peak_activation_bytes: peak of the storages that a prediction creates.
        peak_total_bytes: that and the parameters, buffers and images that it reads.
        plain_peak_activation_bytes: of a prediction of the plain network.
        plain_peak_total_bytes: likewise.
        median_seconds: of a prediction for one batch.
        plain_median_seconds: of the plain network.
        ratio_to_plain: of the times, from the same interleaved blocks.
        ratio_ci95: its interval, over processes and blocks.
        samples_per_second: images that are predicted in a second.
        noisy_because: why the ratio cannot be relied on, in words that call the plain network BP; None if it can.
        loops: predictions per leg.
        warm_up_predictions: of both networks, before the first block, summed over processes.
        blocks_by_process: the number of blocks of each process, in order.
        blocks_seconds: for each block the seconds per prediction of (network, plain, plain, network).
        processes: one entry per process, with the plain network in the place of BP.
    """

    peak_activation_bytes: Size
    peak_total_bytes: Size
    plain_peak_activation_bytes: Size
    plain_peak_total_bytes: Size
    median_seconds: Amount
    plain_median_seconds: Amount
    ratio_to_plain: Amount
    ratio_ci95: tuple[Amount, Amount]
    samples_per_second: Amount
    noisy_because: str | None
    loops: Size
    warm_up_predictions: Size
    blocks_by_process: list[Size]
    blocks_seconds: list[tuple[Amount, Amount, Amount, Amount]]
    processes: list[TimedProcess] | None
