"""Symmetric cross-entropy (Wang, Ma, Chen, Luo, Yi, Bailey, ICCV 2019, arXiv 1908.06112).

With the prediction ``p(k|x)`` and the label's distribution ``q(k|x)``, which is one-hot::

    l_ce  = -sum_k q(k|x) log p(k|x)
    l_rce = -sum_k p(k|x) log q(k|x),   log 0 := A
    l_sl  = alpha l_ce + beta l_rce

Only ``q`` = 0 or 1 occur, so ``l_rce = -A (1 - p(y|x))``: a multiple of the mean absolute error, which tolerates noise.

``alpha`` = 0.1, ``beta`` = 1 and ``A = log 1e-4`` are those with which the authors' code trains CIFAR-10
(github.com/YisenWang/symmetric_cross_entropy_for_noisy_labels), in which ``q`` is clipped at 1e-4. The code clips ``p``
at 1e-7, too; here ``log p`` is computed from the logits and needs no clipping. ``alpha`` is not the axis of that name.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sid_core import BeliefNetwork

ALPHA = 0.1
BETA = 1.0
LOG_OF_ZERO = math.log(1e-4)


def train_on_symmetric_cross_entropy(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    ce_weight: float = ALPHA,
    rce_weight: float = BETA,
    log_of_zero: float = LOG_OF_ZERO,
) -> Tensor:
    """``ce_weight`` (alpha) times cross-entropy, and ``rce_weight`` (beta) times reverse cross-entropy.

    Args:
        network: of either layout.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        ce_weight: 0 or more.
        rce_weight: 0 or more.
        log_of_zero: A, below 0.
    """
    divergence = F.cross_entropy(network(images), labels, reduction="none")  # -log p(y|x)
    reverse = log_of_zero * torch.expm1(-divergence)
    loss = (ce_weight * divergence + rce_weight * reverse).mean()
    loss.backward()
    return loss.detach()
