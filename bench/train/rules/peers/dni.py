"""DNI, decoupled neural interfaces by synthetic gradients (Jaderberg et al., arXiv 1608.05343).

Stage ``i`` computes ``h_i = f_i(sg(h_{i-1}))`` and does not wait for its gradient. A synthesizer ``M_i`` predicts it,
and the stage learns from ``dL/dh_i := sg(M_i(sg(h_i), y))``. The last stage learns from the cross-entropy at its head.
The backward pass of stage ``i + 1`` gives a gradient in ``h_i``. It is bootstrapped, since it comes from ``M_{i+1}``,
and the target of ``M_i``, whose loss is ``sum (M_i(h_i, y) - sg(target))^2 / B``.

A synthesizer reads the label, too (the paper's cDNI). It is ``V h + U onehot(y)``, then a ReLU and a layer for each of
its hidden layers, of which there is one. Layers are linear on features ``[B, d]`` and on each token, and 5x5
convolutions on maps, as in the paper; ``U`` is the same at every position. They are as wide as the features. The last
one starts at zero, and so do synthetic gradients.

All stages learn on each batch, from the weights before its update. A step holds the activations of one stage and of two
synthesizers at a time. As with ``bp-plain``, heads before the last are not run, have no gradients and count as
parameters only. The loss of a step is the cross-entropy.

Golden numbers are those of github.com/koz4k/dni-pytorch, in the copy of github.com/eugenium/DGL. The paper's hidden
layers have a BatchNorm, which that code and this one do not have. A target is the gradient of a mean over the batch, so
its size depends on the batch's.
"""

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.networks import Shape
from bench.train.networks.heads import Features, width_of
from bench.train.networks.units import unit_sizes
from sid_core import BeliefNetwork
from sid_core.objective import belief_dtype, one_hot
from sid_core.phases import enter

HIDDEN_LAYERS = 1
_KERNEL = 5


class Synthesizer(nn.Module):
    """Predicts the gradient in features ``[B, d]``, ``[B, tokens, d]`` or ``[B, d, H, W]``.

    Args:
        features: the shape of the features without the batch.
        classes: C; 0 for a synthesizer that does not read labels.
        hidden: the width of hidden layers; None: that of the features.
        hidden_layers: how many there are, 0 or more.
    """

    def __init__(
        self, features: Features, classes: int, hidden: int | None = None, hidden_layers: int = HIDDEN_LAYERS
    ) -> None:
        super().__init__()
        width = width_of(features)
        widths = [width, *[hidden or width] * hidden_layers, width]
        layer: Callable[[int, int], nn.Module] = nn.Linear
        if len(features) == 3:
            layer = _convolution
        layers = [layer(before, after) for before, after in pairwise(widths)]
        for value in layers[-1].parameters():
            nn.init.zeros_(value)
        self.of_features = layers[0]
        self.of_label = nn.Linear(classes, widths[1]) if classes else None
        self.rest = nn.Sequential(*(module for each in layers[1:] for module in (nn.ReLU(), each)))

    def forward(self, features: Tensor, label: Tensor) -> Tensor:
        """The gradient in ``features``, of their shape, for one-hot labels ``[B, C]``."""
        hidden = self.of_features(features)
        if self.of_label is not None:
            of_label = self.of_label(label)
            places = [1] * (features.dim() - 2)
            shape = (len(label), *places, -1) if features.dim() == 3 else (len(label), -1, *places)
            hidden = hidden + of_label.view(shape)
        gradient: Tensor = self.rest(hidden)
        return gradient


def _convolution(channels: int, to: int) -> nn.Conv2d:
    return nn.Conv2d(channels, to, _KERNEL, padding=_KERNEL // 2)


def synthesizers(network: BeliefNetwork, shape: Shape) -> nn.ModuleList:
    """The synthesizer of each stage but the last of a pipeline that takes images of ``shape``."""
    stages: list[nn.Module] = [module.stage for module in network.local_modules]  # type: ignore[misc]
    *before, _ = unit_sizes(stages, shape)
    return nn.ModuleList([Synthesizer(sizes.output, network.classes) for sizes in before])


def train_by_synthetic_gradients(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object, *, auxiliary: nn.ModuleList
) -> Tensor:
    """Runs each stage forward and then backward, before the next runs; returns cross-entropy, ``[]``.

    Args:
        network: a pipeline.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: a module ``(features, one-hot labels [B, C]) -> gradient in the features`` for each stage but the
            last.
    """
    belief = network.initial_belief(images)
    label = one_hot(labels, belief)
    given, synthetic = images, None
    *before, last = network.local_modules
    for number, (module, synthesizer) in enumerate(zip(before, auxiliary, strict=True), 1):
        enter("forward", number)
        output: Tensor = module.stage(given)  # type: ignore[operator]
        handed = output.detach().requires_grad_()
        predicted = synthesizer(handed.detach(), label)
        enter("backward", number)
        if output.requires_grad:
            output.backward(predicted.detach().to(output.dtype))
        del output
        if synthetic is not None:
            _fit(synthetic, given)
        given, synthetic = handed, predicted
        del handed, predicted
    number = len(network.local_modules)
    enter("forward", number)
    output = last.stage(given)  # type: ignore[operator]
    logits = last.run_head(belief, output)  # type: ignore[operator]
    loss = F.cross_entropy(logits.to(belief_dtype(logits)), labels)
    del output, logits
    enter("backward", number)
    loss.backward()
    if synthetic is not None:
        _fit(synthetic, given)
    enter("forward")
    return loss.detach()


def _fit(synthetic: Tensor, features: Tensor) -> None:
    """Adds the gradient of a synthesizer's loss, for its output and the features whose gradient is the target."""
    target = features.grad
    assert target is not None  # noqa: S101 (the stage after has run backward)
    wide = synthetic.to(belief_dtype(synthetic))
    loss = (wide - target).square().sum() / len(wide)
    loss.backward()
