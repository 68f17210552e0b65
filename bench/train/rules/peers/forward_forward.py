"""Forward-Forward: every layer tells positive from negative samples (Hinton, arXiv 2212.13345).

A positive sample is an image whose first C numbers are replaced by its label, one-hot. A negative one has another label
there, drawn uniformly. With ``n(z) = z / (sqrt(mean_j z_j^2) + 1e-8)``, layer ``i`` computes::

    a_i = ReLU(W_i z_{i-1} + b_i),   z_0 = n(sample),   z_i = n(sg(a_i))

Its loss is the binary cross-entropy of ``sigmoid(sum_j a_ij^2 - theta)``: the goodness ``sum_j a_ij^2`` should be above
``theta``, the number of the layer's units, for positive samples, and below it for negative ones. No gradient crosses
from layer to layer.

A linear classifier without bias predicts. It reads ``z_2, ..., z_L`` of neutral samples, whose first C numbers are
``1/C``, and learns by cross-entropy. Its gradient does not reach the layers. It takes a second pass over the neutral
samples, so that the activations of one layer are held at a time. The loss of a step is the sum of all losses. Nothing
reads the heads of the stages.

Golden numbers are those of github.com/loeweX/Forward-Forward. Its peer loss keeps units from being always or never
active. It is ``peer_weight`` times ``mean_j (mean_k m_k - m_j)^2``, where ``m <- 0.9 sg(m) + 0.1 mean(a)`` is a running
mean over positive samples. In the backward pass its ReLU hands on the gradients of inactive units, too. Only the peer
loss has any: the goodness of an inactive unit has a gradient of 0.

Differences from that code:

- Weights start as those of every other method, and not as normal numbers of deviation ``1/sqrt(units)``.
- One optimizer trains layers and classifier. The code trains layers with SGD, momentum 0.9, learning rate 0.001 and
  weight decay 0.0003, and the classifier at 0.01 and 0.003. Both fall in its second half. ``forward-forward-authors``
  has the values of layers, without the fall.
- The code holds the activations of all layers until the classifier has learned.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import ConfigError
from sid_core import BeliefNetwork
from sid_core.objective import belief_dtype, one_hot
from sid_core.phases import enter

PEER_WEIGHT = 0.03
_PEER_MOMENTUM = 0.9
_FIRST_MEAN_ACTIVITY = 0.5
_LEAST_LENGTH = 1e-8


class BesideLayers(nn.Module):
    """The classifier, and the running mean activity ``m`` of the units of each layer.

    Args:
        network: a pipeline of linear layers.
        shape: ``(channels, height, width)`` of the images.

    Raises:
        ConfigError: an image has fewer numbers than there are classes.
    """

    def __init__(self, network: BeliefNetwork, shape: tuple[int, int, int]) -> None:
        super().__init__()
        layers = linear_layers(network)
        if layers[0].in_features < network.classes:
            raise ConfigError(
                f"{network.classes} classes for images of shape {list(shape)}, for method 'forward-forward', which "
                f"writes the label into an image; legal: at most {layers[0].in_features}"
            )
        widths = [layer.out_features for layer in layers]
        self.classifier = nn.Linear(sum(widths[1:]), network.classes, bias=False)
        for index, width in enumerate(widths):
            self.register_buffer(f"activity_{index}", torch.full((width,), _FIRST_MEAN_ACTIVITY))

    def activity(self, index: int) -> Tensor:
        """``m`` of the layer ``index``, from 0."""
        return self.get_buffer(f"activity_{index}")

    def classifier_parts(self, layers: Sequence[nn.Linear]) -> list[slice]:
        """The columns of the classifier's weight that belong to each layer but the first."""
        ends = accumulate((layer.out_features for layer in layers[1:]), initial=0)
        return [slice(start, end) for start, end in pairwise(ends)]


class Samples(NamedTuple):
    """What the layers see of a batch, each ``[B, n]``."""

    positive: Tensor
    negative: Tensor
    neutral: Tensor


class _ReLU(torch.autograd.Function):
    """ReLU whose backward pass hands on the gradient of inactive units, too."""

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        return values.clamp(min=0)

    @staticmethod
    def backward(_context: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


def linear_layers(network: BeliefNetwork) -> list[nn.Linear]:
    """The linear layer of each stage, which comes before its head."""
    return [
        next(layer for layer in module.modules() if isinstance(layer, nn.Linear)) for module in network.local_modules
    ]


def train_each_layer(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    auxiliary: BesideLayers,
    peer_weight: float = PEER_WEIGHT,
) -> Tensor:
    """Runs each layer forward and then backward, before the next layer runs; returns the sum of all losses.

    Args:
        network: a pipeline whose stages are one linear layer with its ReLU.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: the classifier, and the mean activities, which are updated.
        peer_weight: the weight of the peer loss.
    """
    return train_on_samples(network, samples_of(images, labels, network.classes), labels, auxiliary, peer_weight)


def samples_of(images: Tensor, labels: Tensor, classes: int) -> Samples:
    """Positive, negative and neutral samples of a batch; labels of negative ones are drawn."""
    flat = images.flatten(1)
    wrong = (labels + torch.randint_like(labels, 1, classes)) % classes

    def with_label(label: Tensor) -> Tensor:
        return torch.cat((label, flat[:, classes:]), dim=1)

    return Samples(
        with_label(one_hot(labels, flat[:, :classes])),
        with_label(one_hot(wrong, flat[:, :classes])),
        neutral_of(images, classes),
    )


def neutral_of(images: Tensor, classes: int) -> Tensor:
    """Images as rows ``[B, n]`` whose first C numbers are ``1/C``."""
    neutral = images.flatten(1).clone()
    neutral[:, :classes] = 1 / classes
    return neutral


def train_on_samples(
    network: BeliefNetwork, samples: Samples, labels: Tensor, auxiliary: BesideLayers, peer_weight: float
) -> Tensor:
    """Adds the gradients of all layers and of the classifier to ``.grad``; returns the sum of all losses."""
    layers = linear_layers(network)
    inputs = normalised(torch.cat((samples.positive, samples.negative)))
    neutral = samples.neutral
    del samples
    is_positive = torch.arange(len(inputs), device=inputs.device) < len(labels)
    total = inputs.new_zeros((), dtype=belief_dtype(inputs))
    for number, layer in enumerate(layers, 1):
        enter("forward", number)
        active = activity_of(layer, inputs)
        goodness = active.square().sum(dim=1) - layer.out_features
        loss = F.binary_cross_entropy_with_logits(goodness, is_positive.to(goodness.dtype))
        if peer_weight:
            loss = loss + peer_weight * _peer_loss(active[: len(labels)], auxiliary.activity(number - 1))
        inputs = normalised(active.detach())
        del active, goodness
        total += loss.detach()
        enter("backward", number)
        loss.backward()
        del loss
    del inputs
    enter("forward")
    with torch.no_grad():
        return total + _train_classifier(layers, neutral, labels, auxiliary)


def _peer_loss(active: Tensor, activity: Tensor) -> Tensor:
    """``mean_j (mean_k m_k - m_j)^2``, after an update of the running mean ``activity`` by the ``active`` units."""
    running = _PEER_MOMENTUM * activity + (1 - _PEER_MOMENTUM) * active.mean(dim=0)
    activity.copy_(running.detach())
    return (running.mean() - running).square().mean()


def _train_classifier(layers: Sequence[nn.Linear], neutral: Tensor, labels: Tensor, auxiliary: BesideLayers) -> Tensor:
    """Adds the gradient of cross-entropy to ``.grad`` of the classifier; returns the loss."""
    weight = auxiliary.classifier.weight
    logits = _classified(layers, neutral, auxiliary)
    loss = F.cross_entropy(logits, labels)
    gradient = (logits.softmax(dim=1) - one_hot(labels, logits)) / len(labels)
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    parts = auxiliary.classifier_parts(layers)
    for part, features in zip(parts, _features(layers, neutral), strict=True):
        weight.grad[:, part] += gradient.T @ features
    return loss


def _classified(layers: Sequence[nn.Linear], neutral: Tensor, auxiliary: BesideLayers) -> Tensor:
    """The classifier's logits, ``[B, C]``, for neutral samples."""
    parts = auxiliary.classifier_parts(layers)
    logits: Tensor | None = None
    for part, features in zip(parts, _features(layers, neutral), strict=True):
        share = features @ auxiliary.classifier.weight[:, part].T
        logits = share if logits is None else logits + share
    assert logits is not None  # noqa: S101 (there are two layers or more)
    return logits.to(belief_dtype(logits))


def _features(layers: Sequence[nn.Linear], neutral: Tensor) -> Iterator[Tensor]:
    """Yields ``z_2`` to ``z_L``."""
    features = normalised(neutral)
    for index, layer in enumerate(layers):
        features = normalised(activity_of(layer, features))
        if index > 0:
            yield features


def normalised(values: Tensor) -> Tensor:
    """``n(z)`` for ``z`` ``[B, n]``: rows whose mean square is 1."""
    return values / (values.square().mean(dim=1, keepdim=True).sqrt() + _LEAST_LENGTH)


def activity_of(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """``ReLU(W z + b)``, of single precision or better, ``[B, units]``."""
    values = layer(inputs)
    active: Tensor = _ReLU.apply(values.to(belief_dtype(values)))
    return active


def logits_by_module(network: BeliefNetwork, images: Tensor, *, auxiliary: BesideLayers) -> Iterator[Tensor | None]:
    """Yields None for each layer but the last, which has the logits of the classifier, ``[B, C]``."""
    layers = linear_layers(network)
    for _ in layers[1:]:
        yield None
    yield _classified(layers, neutral_of(images, network.classes), auxiliary)
