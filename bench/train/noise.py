"""Label noise: wrong training labels, drawn from a generator of their own.

Each kind changes a label with probability ``rate`` (``symmetric-inclusive`` may draw the true class again, so fewer
labels end up wrong: the realised rate is recorded). Kinds as in Patrini et al., arXiv 1609.03683, and Han et al.,
arXiv 1804.06872.
"""

import torch
from torch import Tensor

from bench.config.cell import NoiseKind
from bench.errors import DataError

# Keeps the noise's generator apart from those of the weights and of the data order, which start from the same seed.
_STREAM = 0x1ABE1


def corrupt_labels(
    labels: Tensor,
    classes: int,
    kind: NoiseKind,
    rate: float,
    seed: int,
    asymmetric: tuple[tuple[int, int], ...] | None = None,
) -> tuple[Tensor, float]:
    """Wrong labels, and how many.

    Args:
        labels: ``[N]``, int64, the true labels; left as they are.
        classes: C.
        kind: ``none``; ``symmetric-exclusive``: one of the other C - 1 classes, uniformly; ``symmetric-inclusive``: one
            of all C, uniformly; ``pairflip``: class c to c + 1 mod C; ``asymmetric``: by the data set's class map.
        rate: the probability that a label is drawn anew, in [0, 1].
        seed: of the generator.
        asymmetric: pairs (class, class it moves to); classes without a pair keep their labels.

    Returns:
        The labels ``[N]`` and the realised rate: the share of them that now differs from the truth.

    Raises:
        DataError: ``kind`` is ``asymmetric`` and there is no class map.
    """
    generator = torch.Generator().manual_seed((seed ^ _STREAM) % 2**63)
    # Both draws are made for every label and kind, so that a higher rate corrupts a superset of the labels.
    is_drawn = torch.rand(len(labels), generator=generator) < rate
    draw = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    if kind == "none":
        moved = labels
    elif kind == "symmetric-exclusive":
        moved = (labels + 1 + (draw * (classes - 1)).long()) % classes
    elif kind == "symmetric-inclusive":
        moved = (draw * classes).long()
    elif kind == "pairflip":
        moved = (labels + 1) % classes
    else:
        if asymmetric is None:
            raise DataError("asymmetric noise has no class map for this data set; legal: another noise_kind")
        target = torch.arange(classes)
        for source, destination in asymmetric:
            target[source] = destination
        moved = target[labels]
    noisy = torch.where(is_drawn, moved, labels)
    return noisy, float((noisy != labels).double().mean())
