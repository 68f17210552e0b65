"""InfoPro, information propagation (Wang et al., arXiv 2101.10832).

Stage ``l`` of ``K`` computes ``h_l = f_l(sg(h_{l-1}))``. A stage but the last learns from::

    L_l = lambda_1 L_R + lambda_2 L_T
    L_R = BCE(decoder_l(h_l), x)                           an estimate of I(h, x), for pixels x in 0..1
    L_T = CE(head_l(h_l), y)                               an estimate of I(h, y): ``infopro``
    L_T = -mean_i 1/|P_i| sum_{j in P_i} log(exp(z_i z_j / tau) / sum_{k != i} exp(z_i z_k / tau))
                                                           the same: ``infopro-contrast``

with ``z = projection_l(h_l)``, normalised, ``tau`` = 0.07, and ``P_i`` the other samples of the class of ``i``. A
sample without such others adds 0. The last stage learns from cross-entropy at its head. ``lambda_1`` and ``lambda_2``
go linearly from the first stage to the last but one. They are the authors' for CIFAR-10 and ResNet-32, which their
commands give for 2, 4, 8 and 16 stages and the contrastive loss; between these numbers of stages, those of the next
larger one hold, and above 16 those of 16. Decoder, head and projection learn from the weighted loss, too, as in the
authors' code (github.com/blackfeather-wang/InfoPro-Pytorch): where a weight is 0, they only decay.

The head is the axis ``head``: ``1c2f``, the authors', unless the cell says. With the contrastive loss the heads before
the last one are in the network, so that all methods start from the same weights. They are not run, and count as
parameters only. Decoders and projections are held in training only. See :mod:`bench.train.networks.decoders` and
:mod:`bench.train.networks.one_convolution_heads` for how they differ from the authors'.

The authors train with SGD with Nesterov momentum, which ``infopro-authors`` has without Nesterov, and warm up.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.networks import Shape
from bench.train.networks.decoders import Decoder
from bench.train.networks.heads import Features
from bench.train.networks.one_convolution_heads import projection
from bench.train.networks.units import unit_sizes
from bench.train.rules.full_precision import full_precision
from sid_core import BeliefNetwork
from sid_core.objective import belief_dtype
from sid_core.phases import enter

TEMPERATURE = 0.07
Weights = tuple[float, float]  # of reconstruction and of the task
# By the number of stages: those of the first stage, and of the last but one.
AUTHORS_WEIGHTS: dict[int, tuple[Weights, Weights]] = {
    2: ((5, 1), (0, 0)),
    4: ((6, 0), (1, 2)),
    8: ((5, 0), (0, 2)),
    16: ((5, 0.05), (0.2, 0.5)),
}


def decoders(network: BeliefNetwork, shape: Shape) -> nn.ModuleList:
    """A decoder for each stage but the last of a pipeline that takes images of ``shape``."""
    return nn.ModuleList(Decoder(features, shape) for features in _outputs(network, shape))


def decoders_and_projections(network: BeliefNetwork, shape: Shape) -> nn.ModuleDict:
    """Decoders, and a projection for each of the same stages."""
    projections = nn.ModuleList(projection(features) for features in _outputs(network, shape))
    return nn.ModuleDict({"decoders": decoders(network, shape), "projections": projections})


def _outputs(network: BeliefNetwork, shape: Shape) -> list[Features]:
    """The shapes of what the stages but the last give."""
    stages: list[nn.Module] = [module.stage for module in network.local_modules]  # type: ignore[misc]
    return [sizes.output for sizes in unit_sizes(stages[:-1], shape)]


def train_with_cross_entropy(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    pixels: Tensor,
    auxiliary: nn.ModuleList,
    weights: tuple[Weights, Weights] | None = None,
) -> Tensor:
    """Reconstruction and cross-entropy at each stage, and no gradient between stages; returns the sum of the losses.

    Args:
        network: a pipeline.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        pixels: the images in 0..1.
        auxiliary: one decoder for each stage but the last.
        weights: of reconstruction and of cross-entropy, at the first stage and at the last but one; None: the authors'.

    Returns:
        The sum over all stages, ``[]``, detached.
    """
    belief = network.initial_belief(images)

    def task(_number: int, module: nn.Module, features: Tensor) -> Tensor:
        return _cross_entropy(module, belief, features, labels)

    return _train(network, images, labels, pixels, auxiliary, task, weights)


def train_with_contrast(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    pixels: Tensor,
    auxiliary: nn.ModuleDict,
    weights: tuple[Weights, Weights] | None = None,
) -> Tensor:
    """The same with a contrastive loss in the place of cross-entropy, except at the last stage.

    ``auxiliary`` has ``decoders`` and ``projections``.
    """
    projections = auxiliary["projections"]

    def task(number: int, _module: nn.Module, features: Tensor) -> Tensor:
        return contrastive_loss(projections[number - 1](features), labels)  # type: ignore[index]

    return _train(network, images, labels, pixels, auxiliary["decoders"], task, weights)  # type: ignore[arg-type]


def weights_of_stages(stages: int, weights: tuple[Weights, Weights] | None = None) -> list[Weights]:
    """Of each stage but the last, the weights of reconstruction and of the task.

    Args:
        stages: K.
        weights: of the first stage and of the last but one; None: the authors'.
    """
    listed = min((number for number in AUTHORS_WEIGHTS if number >= stages), default=max(AUTHORS_WEIGHTS))
    first, last = AUTHORS_WEIGHTS[listed] if weights is None else weights
    local = stages - 1
    shares = [index / (local - 1) if local > 1 else 0.0 for index in range(local)]
    return [(first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])) for share in shares]


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """``L_R``, ``[]``: binary cross-entropy of logits ``decoded`` and ``pixels``, both ``[B, channels, H, W]``."""
    return F.binary_cross_entropy_with_logits(decoded.to(belief_dtype(decoded)), pixels)


def contrastive_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The contrastive ``L_T``, ``[]``, for ``embeddings`` ``[B, n]`` of any length; in float32 under autocast."""
    wide, context = full_precision(embeddings)
    with context:
        rows = F.normalize(wide, dim=1)
        similarity = rows @ rows.T / TEMPERATURE
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        partners = (labels.unsqueeze(1) == labels).logical_and(~itself).to(rows.dtype)
        # Not minus infinity, whose gradient would not be a number in a batch of one.
        others = similarity.masked_fill(itself, torch.finfo(rows.dtype).min)
        log_share = similarity - others.logsumexp(dim=1, keepdim=True)
        return -((partners * log_share).sum(dim=1) / partners.sum(dim=1).clamp(min=1)).mean()


def _train(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    pixels: Tensor,
    decoders: nn.ModuleList,
    task: Callable[[int, nn.Module, Tensor], Tensor],
    weights: tuple[Weights, Weights] | None,
) -> Tensor:
    """Runs each stage forward and then backward, before the next stage runs; returns the sum of the losses."""
    total, features = images.new_zeros(()), images
    belief = network.initial_belief(images)
    of_stages = weights_of_stages(len(network.local_modules), weights)
    for number, module in enumerate(network.local_modules, 1):
        enter("forward", number)
        output = module.stage(features)  # type: ignore[operator]
        if number <= len(of_stages):
            of_reconstruction, of_task = of_stages[number - 1]
            loss = of_reconstruction * reconstruction_loss(decoders[number - 1](output), pixels)
            loss = loss + of_task * task(number, module, output)
        else:
            loss = _cross_entropy(module, belief, output, labels)
        features = network.hand_on(output)
        del output
        total += loss.detach()
        enter("backward", number)
        loss.backward()
        del loss
    enter("forward")
    return total


def _cross_entropy(module: nn.Module, belief: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    logits: Tensor = module.run_head(belief, features)  # type: ignore[operator]
    return F.cross_entropy(logits.to(belief_dtype(logits)), labels)
