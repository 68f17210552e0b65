"""Forward correction (Patrini, Rozza, Menon, Nock, Qu, CVPR 2017, arXiv 1609.03683).

``T_ij = p(noisy label = e_j | label = e_i)``. The prediction ``p(y|x)`` is passed through the noise before it meets the
noisy label, so that its minimum is that of cross-entropy on clean labels::

    l(e_j, x) = -log sum_i T_ij p(y = e_i | x)

**True T**: that of the noise which the cell draws; of labels that people gave, the share of each label among those of
each true class, over all training images. Nobody has it in practice, and people's mistakes depend on the image, too.

**Estimated T**: a network is trained by cross-entropy on the noisy labels first. The image that it takes to be of class
``i`` most surely stands for the class, as if it were surely of it (theorem 3)::

    x_i = argmax_x p(noisy label = e_i | x),   T_ij = p(noisy label = e_j | x_i)

In the place of the maximum the paper takes the 97 % percentile, since the surest images are outliers: here the image at
that place, rounded down, in the order of the probabilities.

Differences from the authors' code (github.com/giorgiop/loss-correction):

- The first network is trained as the cell says, for as many epochs, from the same weights and on the same batches. It
  has the weights of the epoch that validation labels with noise choose by accuracy, in the code by loss.
- T is estimated on the images that the network was trained on; the code adds those of validation.
- The code takes the best image strictly below the percentile. That is the same or the next one, unless many have one
  probability, all of which it passes over. It makes an exception for CIFAR-100, and sets the probabilities that it
  passes over to zero, also in the rows of other classes.
- ``log sum`` is computed from logarithms, so nothing is clipped.
"""

import torch
from torch import Tensor, nn

from sid_core import BeliefNetwork

PERCENTILE = 97


class Transition(nn.Module):
    """``log T``, a buffer ``[C, C]`` of float32.

    Args:
        matrix: T, ``[C, C]``; None where nobody knows it, as in a plan: every number is then NaN.
        classes: C.
    """

    def __init__(self, matrix: Tensor | None, classes: int) -> None:
        super().__init__()
        known = torch.full((classes, classes), torch.nan) if matrix is None else matrix
        self.register_buffer("log_matrix", known.log().float())

    def forward(self, labels: Tensor) -> Tensor:
        """``log T_ij`` for each class i, ``[B, C]``, for noisy labels j ``[B]``."""
        log_matrix: Tensor = self.log_matrix  # type: ignore[assignment]
        return log_matrix.T[labels]


def true_transition(classes: int, transition: Tensor | None) -> Transition:
    """The matrix of the cell's noise."""
    return Transition(transition, classes)


def no_transition(classes: int) -> Transition:
    """The matrix of clean labels, until another is estimated."""
    return Transition(torch.eye(classes), classes)


def train_with_forward_correction(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object, *, auxiliary: nn.Module
) -> Tensor:
    """Cross-entropy of the prediction after the noise.

    Args:
        network: of either layout.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``, with noise.
        auxiliary: ``labels -> log T_ij`` for each class i, ``[B, C]``.
    """
    log_prediction = network(images).log_softmax(dim=1)
    log_received: Tensor = (log_prediction + auxiliary(labels)).logsumexp(dim=1)
    loss = -log_received.mean()
    loss.backward()
    return loss.detach()


@torch.no_grad()
def take_estimate(auxiliary: Transition, logits: Tensor) -> None:
    """Put the matrix that ``logits`` ``[N, C]`` of a network trained on noisy labels give in the place of T."""
    auxiliary.log_matrix.copy_(log_estimate(logits))  # type: ignore[operator]


def log_estimate(logits: Tensor) -> Tensor:
    """The logarithm of the estimated T, float64 ``[C, C]``, from the logits ``[N, C]`` of a network on N images."""
    log_probability = logits.double().log_softmax(dim=1)
    place = PERCENTILE * (len(logits) - 1) // 100
    return log_probability[log_probability.argsort(dim=0, stable=True)[place]]
