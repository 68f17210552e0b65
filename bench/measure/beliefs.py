"""What the beliefs of a trained network are like, module by module: calibration, changed decisions, descent."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.measure.evaluation import batches_of, divergences_of, finite, read_batches
from bench.store.measurements.accuracy import Beliefs
from bench.train.datasets.splits import Split
from bench.train.step import TrainingStep

CALIBRATION_BINS = 15  # as in Guo et al., arXiv 1706.04599


@torch.no_grad()
def measure_beliefs(step: TrainingStep, split: Split, alphas: Sequence[float] | None) -> Beliefs:
    """Evaluate the belief of every module on ``split``; runs the network forward once.

    Args:
        step: its network is evaluated.
        split: its labels are taken for the true ones.
        alphas: the weight of the label in each module's local objective; None for a rule without one.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    batches: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for labels, modules, logits in read_batches(step, batches_of(split)):
        column_of = {module: column for column, module in enumerate(modules)}
        confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
        batches.append((confidence, predicted, predicted == labels[:, None], divergences_of(logits, labels)))
    confidence, predicted, correct, divergence = (torch.cat(parts).cpu() for parts in zip(*batches, strict=True))
    initial = torch.full((len(split),), math.log(step.network.classes), dtype=torch.float64)  # KL(p_y || p_0)
    columns: list[_Column] = []
    for module in range(len(step.network.local_modules)):
        own, before = column_of.get(module), column_of.get(module - 1)
        if own is None:
            columns.append(_Column())
            continue
        violations = None
        if alphas is not None and (before is not None or module == 0):
            previous = initial if before is None else divergence[:, before]
            violations = descent_violations(previous, divergence[:, own], alphas[module])
        columns.append(
            _Column(
                finite(calibration_error(confidence[:, own], correct[:, own])),
                None if before is None else changed_share(predicted[:, before], predicted[:, own]),
                *(violations or ()),
            )
        )
    calibration, changed, violated, excess = (list(values) for values in zip(*columns, strict=True))
    return Beliefs(
        calibration_error=calibration, changed_share=changed, descent_violated_share=violated, descent_excess=excess
    )


class _Column(NamedTuple):
    """The values of one module; see :class:`bench.store.measurements.accuracy.Beliefs`."""

    calibration_error: float | None = None
    changed_share: float | None = None
    descent_violated_share: float | None = None
    descent_excess: float | None = None


def calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """Return the expected calibration error: the mean over images of ``|accuracy - confidence|`` of the image's bin.

    Guo et al., arXiv 1706.04599, with bins of equal width, each open at its lower end. It is NaN if a confidence is.

    Args:
        confidence: the probability of the predicted class, float64 ``[N]``, in (0, 1].
        correct: whether the prediction is, bool ``[N]``.
    """
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=torch.float64)[1:-1]
    bins = torch.bucketize(confidence.contiguous(), edges)
    difference = correct.double() - confidence
    sums = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, bins, difference)
    return float(sums.abs().sum()) / len(confidence)


def changed_share(before: Tensor, after: Tensor) -> float:
    """Return the fraction of images for which two modules predict different classes, each int64 ``[N]``."""
    return float((before != after).double().mean())


def descent_violations(before: Tensor, after: Tensor, alpha: float) -> tuple[float, float] | None:
    """Return how often, and by how much, a module does not do what the optimum of its local objective does.

    There KL(p_y || p_i) is at most ``(1 - alpha) * KL(p_y || p_{i-1})``.

    Args:
        before: KL(p_y || p_{i-1}), float64 ``[N]``.
        after: KL(p_y || p_i), float64 ``[N]``.
        alpha: the weight of the label.

    Returns:
        The fraction of images that exceed the bound, and the mean over all images of what they exceed it by, in nats;
        None if a divergence is not finite.
    """
    excess = after - (1 - alpha) * before
    if not bool(excess.isfinite().all()):
        return None
    return float((excess > 0).double().mean()), float(excess.clamp_min(0).mean())
