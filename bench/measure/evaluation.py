"""What a trained network predicts for a split, module by module."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.batches import EVALUATION_BATCH
from bench.train.datasets.splits import Split
from bench.train.step import TrainingStep


class Reading(NamedTuple):
    """What the modules make of one batch.

    Attributes:
        labels: ``[B]``, int64.
        modules: the indices of the modules that have logits, in order; the last module is one of them.
        logits: of these modules, ``[B, C, modules]``.
    """

    labels: Tensor
    modules: list[int]
    logits: Tensor


class Evaluation(NamedTuple):
    """What a network predicts for a split.

    Attributes:
        predictions: the classes that the last module predicts, int64 ``[N]``, on the CPU.
        accuracies: of each module; None for a module without logits.
        divergences: the mean KL(p_y || p_i) of each module, in nats; None likewise, and where it is not finite.
    """

    predictions: Tensor
    accuracies: list[float | None]
    divergences: list[float | None]


def batches_of(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images and labels of ``split`` in batches of :data:`EVALUATION_BATCH`."""
    return zip(split.images.split(EVALUATION_BATCH), split.labels.split(EVALUATION_BATCH), strict=True)


def read_batches(step: TrainingStep, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Reading]:
    """Yield what the modules make of each batch of images and labels; call it with gradients disabled.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    step.network.eval()
    last = len(step.network.local_modules) - 1
    for images, labels in batches:
        with step.autocast(images.device):
            by_module = dict(enumerate(step.logits_by_module(step.network, images)))
        read = {index: logits for index, logits in by_module.items() if logits is not None}
        if last not in read:
            raise RuntimeError("the method's logits_by_module returned None for the last module; legal: a tensor")
        yield Reading(labels, list(read), torch.stack(list(read.values()), dim=2))


@torch.no_grad()
def last_logits(step: TrainingStep, images: Tensor, places: Tensor) -> Tensor:
    """Return the logits of the last module, ``[N, C]``, for the images at N places of ``images``, one or more.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    # Some networks cannot evaluate a single image, so parts are of nearly one size, and a single image counts twice.
    padded = places.expand(2) if len(places) == 1 else places
    parts = padded.tensor_split(-(-len(padded) // EVALUATION_BATCH))
    # Nobody reads the labels.
    readings = read_batches(step, ((images[part], part) for part in parts))
    return torch.cat([reading.logits[:, :, -1] for reading in readings])[: len(places)]


@torch.no_grad()
def evaluate(step: TrainingStep, split: Split) -> Evaluation:
    """Evaluate every module on the labels of ``split``.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    modules = len(step.network.local_modules)
    correct = torch.zeros(modules, dtype=torch.int64, device=split.labels.device)
    divergence = torch.zeros(modules, dtype=torch.float64, device=split.labels.device)
    trained: list[int] = []
    predictions: list[Tensor] = []
    for labels, trained, logits in read_batches(step, batches_of(split)):
        each_label = labels[:, None].expand(-1, len(trained))
        predicted = logits.argmax(dim=1)
        predictions.append(predicted[:, -1].cpu())
        correct[trained] += (predicted == each_label).sum(dim=0)
        divergence[trained] += divergences_of(logits, labels).sum(dim=0)
    shares, means = (correct.double() / len(split)).tolist(), (divergence / len(split)).tolist()
    return Evaluation(
        torch.cat(predictions),
        [shares[index] if index in trained else None for index in range(modules)],
        [finite(means[index]) if index in trained else None for index in range(modules)],
    )


def divergences_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return KL(p_y || p_i) in nats, float64 ``[B, M]``, for logits ``[B, C, M]`` of M modules and labels ``[B]``.

    For a one-hot p_y, the divergence is the negative log-likelihood of the label.
    """
    return F.cross_entropy(logits.double(), labels[:, None].expand(-1, logits.shape[2]), reduction="none")


def finite(value: float) -> float | None:
    """Return ``value``, or None if training diverged: JSON has neither NaN nor infinities."""
    return value if math.isfinite(value) else None
