"""Early-learning regularisation, ELR (Liu, Niles-Weed, Razavian, Fernandez-Granda, NeurIPS 2020, arXiv 2007.00151).

Networks learn clean labels before they memorise wrong ones. So each training image ``i`` has a target ``t_i``, a
moving average of the predictions ``p_i`` of the epochs so far, and the loss keeps the prediction near it::

    L = (1/n) sum_i CE(p_i, y_i) + (lambda/n) sum_i log(1 - <p_i, t_i>)
    t_i <- beta t_i + (1 - beta) p_i

Targets start at 0 and are constants for the gradient. A target is updated before its image's loss is computed, so it
holds the present prediction, too. ``beta`` = 0.7 and ``lambda`` = 3 are the authors' for CIFAR-10.

As in the authors' code (github.com/shengliu66/ELR), ``p_i`` is clipped to 1e-4..1 - 1e-4 in the second term, and scaled
to the sum 1 in the target: without that, ``log 0`` is near. The paper's ELR+, with two networks, averaged weights and
mixed images, is another method and is not here. The authors train with SGD and restarts of a cosine; here a cell says.

A target for every training image is held all the time: ``4 C`` bytes for each, which count as buffers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import ConfigError
from sid_core import BeliefNetwork

BETA = 0.7
LAMBDA = 3.0
_LEAST = 1e-4


class Targets(nn.Module):
    """``t_i``: a buffer ``targets`` ``[N, C]`` of float32.

    Args:
        samples: N, the number of training images.
        classes: C.
    """

    def __init__(self, samples: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("targets", torch.zeros(samples, classes))


def targets_of(samples: int | None, classes: int, dataset: str) -> Targets:
    """The targets of all training images.

    Raises:
        ConfigError: it is not known how many there are.
    """
    if samples is None:
        raise ConfigError(
            f"method 'bp-elr' holds a target for each training image, and only the files of dataset = {dataset!r} say "
            "how many there are; legal: a data set that sid-bench knows, such as random, which has twice the batch size"
        )
    return Targets(samples, classes)


def train_with_early_learning(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    auxiliary: nn.Module,
    indices: Tensor,
    momentum: float = BETA,
    strength: float = LAMBDA,
) -> Tensor:
    """Cross-entropy, and what draws each prediction to its target.

    Args:
        network: of either layout.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: with the buffer ``targets`` ``[N, C]``, of which the rows of these images change.
        indices: ``[B]``, the places of the images in the training split.
        momentum: beta, in [0, 1).
        strength: lambda, 0 or more.
    """
    logits = network(images)
    prediction = logits.softmax(dim=1).clamp(_LEAST, 1 - _LEAST)
    with torch.no_grad():
        targets: Tensor = auxiliary.targets  # type: ignore[assignment]
        scaled = prediction / prediction.sum(dim=1, keepdim=True)
        own = momentum * targets[indices] + (1 - momentum) * scaled
        targets[indices] = own
    agreement = (own * prediction).sum(dim=1)
    loss = F.cross_entropy(logits, labels) + strength * torch.log1p(-agreement).mean()
    loss.backward()
    return loss.detach()
