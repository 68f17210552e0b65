"""Label noise: wrong labels of training and validation images, drawn from a separate generator.

Each kind redraws a label with probability ``rate``. ``symmetric-inclusive`` may draw the true class again, so fewer
labels are wrong; the realised rate is recorded. The kinds follow Patrini et al., arXiv 1609.03683, and Han et al.,
arXiv 1804.06872.
"""

from typing import Literal, TypeVar

import torch
from torch import Tensor

from bench.config.cell import NoiseKind
from bench.errors import DataError

# Distinguish the seed of this generator from those of the weights and the data order, which use the cell's seed, and
# the splits from each other. Torch's generator reads the lowest 32 bits of a seed, so they differ there, by more than
# the seeds of a sweep.
_STREAMS = {"train": 0x1ABE1, "validation": 0x7A11DA7E}


_Part = TypeVar("_Part")


def corrupt_labels(
    labels: Tensor,
    classes: int,
    kind: NoiseKind,
    rate: float,
    seed: int,
    asymmetric: tuple[tuple[int, int], ...] | None = None,
    split: Literal["train", "validation"] = "train",
    human_labels: Tensor | None = None,
    matrix: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Return noisy labels and the realised noise rate.

    Args:
        labels: the true labels, ``[N]``, int64; not changed.
        classes: C, the number of classes.
        kind: how a redrawn label is chosen. ``none``: it stays as it is. ``symmetric-exclusive``: uniformly from the
            other C - 1 classes. ``symmetric-inclusive``: uniformly from all C classes. ``pairflip``: c becomes
            (c + 1) mod C. ``asymmetric``: by the data set's class map. ``human``: that of ``human_labels``. ``matrix``:
            with the probabilities of row c of ``matrix``. The last two may give the true class again.
        rate: the probability that a label is redrawn, in [0, 1].
        seed: seed of the generator.
        asymmetric: the class map, as pairs (true class, noisy class); classes without a pair keep their labels.
        split: what the labels belong to; splits have draws of their own.
        human_labels: what people said that each image shows, ``[N]``, int64.
        matrix: ``[C, C]``, float64; rows have the sum 1.

    Returns:
        The noisy labels ``[N]``, and the fraction of them that differs from ``labels``.

    Raises:
        DataError: ``kind`` needs a class map, human labels or a matrix, and there is none.
    """
    generator = torch.Generator().manual_seed((seed ^ _STREAMS[split]) % 2**63)
    # Both numbers are drawn for every label and kind, so that a higher rate corrupts a superset of the labels.
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
    elif kind == "human":
        moved = _required(human_labels, kind, "human labels")
    elif kind == "matrix":
        # The last probability of a row may sum to a little less than 1, which a draw must not exceed.
        steps = _required(matrix, kind, "matrix")[labels].cumsum(1)[:, :-1].contiguous()
        moved = torch.searchsorted(steps, draw[:, None], right=True).squeeze(1)
    else:
        moved = _targets(classes, _required(asymmetric, kind, "class map"))[labels]
    noisy = torch.where(is_drawn, moved, labels)
    return noisy, float((noisy != labels).double().mean())


def transition_matrix(
    classes: int,
    kind: NoiseKind,
    rate: float,
    asymmetric: tuple[tuple[int, int], ...] | None = None,
    matrix: Tensor | None = None,
) -> Tensor | None:
    """The matrix of the noise that :func:`corrupt_labels` draws, float64 ``[C, C]``.

    Row c holds the probabilities of the labels that an image of class c gets.

    Args:
        classes: C.
        kind: as there.
        rate: as there.
        asymmetric: as there.
        matrix: of ``matrix``, or of ``human`` the shares of the labels that people gave to images of each class.

    Returns:
        None where the kind needs a class map or a matrix, and there is none.
    """
    identity = torch.eye(classes, dtype=torch.float64)
    moved: Tensor | None = matrix
    if kind == "none":
        moved = identity
    elif kind == "symmetric-exclusive":
        moved = (1 - identity) / (classes - 1)
    elif kind == "symmetric-inclusive":
        moved = torch.full_like(identity, 1 / classes)
    elif kind == "pairflip":
        moved = identity.roll(1, dims=1)
    elif kind == "asymmetric":
        moved = None if asymmetric is None else identity[_targets(classes, asymmetric)]
    return None if moved is None else (1 - rate) * identity + rate * moved


def _targets(classes: int, asymmetric: tuple[tuple[int, int], ...]) -> Tensor:
    """The class that the map moves each class to, int64 ``[C]``."""
    target = torch.arange(classes)
    for source, destination in asymmetric:
        target[source] = destination
    return target


def _required(part: _Part | None, kind: NoiseKind, what: str) -> _Part:
    if part is None:
        raise DataError(f"noise_kind = {kind!r}: the data set has no {what}; legal: another noise_kind")
    return part
