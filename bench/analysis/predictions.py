"""What the predictions of a cell cost, from the samples of its processes."""

from collections.abc import Sequence

from bench.analysis.latency import summarise
from bench.store.measurements.inference import Inference
from bench.store.sample import PredictionBytes, Sample


def summarise_predictions(
    counted: PredictionBytes, samples: Sequence[Sample], batch_size: int, *, is_plain: bool = False
) -> Inference:
    """Put bytes and times together.

    Args:
        counted: the bytes.
        samples: one per process, with the plain network in the place of BP.
        batch_size: images in a prediction.
        is_plain: whether both networks are one, whose ratio should be 1.
    """
    times = summarise(samples, batch_size, is_baseline=is_plain, compared_with="the plain network")
    return Inference(
        **counted.model_dump(),
        median_seconds=times.median_seconds,
        plain_median_seconds=times.bp_median_seconds,
        ratio_to_plain=times.ratio_to_bp,
        ratio_ci95=times.ratio_ci95,
        samples_per_second=times.samples_per_second,
        noisy_because=times.noisy_because,
        loops=times.loops,
        warm_up_predictions=times.warm_up_steps,
        blocks_by_process=times.blocks_by_process,
        blocks_seconds=times.blocks_seconds,
        processes=times.processes,
    )
