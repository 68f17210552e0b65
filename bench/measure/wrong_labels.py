"""How much of the wrong training labels a network has learned."""

import torch
from torch import Tensor

from bench.measure.evaluation import last_logits
from bench.store.measurements.accuracy import WrongLabels
from bench.train.datasets.splits import Split
from bench.train.step import TrainingStep


@torch.no_grad()
def measure_wrong_labels(step: TrainingStep, train: Split, true_labels: Tensor) -> WrongLabels | None:
    """Predict the training images whose label is wrong; runs the network forward on these.

    Args:
        step: its network is evaluated.
        train: images with the labels that they were trained on.
        true_labels: ``[N]``, int64, on the device of ``train``.

    Returns:
        What was predicted for them; None if no label is wrong.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    wrong = (train.labels != true_labels).nonzero().flatten()
    if len(wrong) == 0:
        return None
    predicted = last_logits(step, train.images, wrong).argmax(dim=1)
    learned = predicted == train.labels[wrong]
    corrected = predicted == true_labels[wrong]
    return WrongLabels(
        images=len(wrong),
        learned_share=_share(learned),
        corrected_share=_share(corrected),
        other_share=_share(~(learned | corrected)),
    )


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
