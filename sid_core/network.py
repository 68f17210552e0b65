"""The network that SID and BP both train: a trunk, and local modules that refine a belief.

``features = trunk(images)``, ``p_0 = 1/C``, ``logits_i = module_i(p_{i-1}, features)``, ``p_i = softmax(logits_i)``;
the prediction is ``logits_L`` (arXiv 2510.03273, section "Architecture"). ``depth`` is the number of hidden layers of
all modules together, and ``modules`` the number of modules that they are divided into. In the other layout, in
:mod:`sid_core.pipeline`, each module computes features of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from sid_core.objective import belief_dtype, uniform_belief


class LocalModule(nn.Module):
    """One module: ``(belief [B, C], features [B, d]) -> logits [B, C]``.

    The authors' module is ``layers=1``: linear ``(C + d) -> hidden``, ReLU, linear ``hidden -> C``. Each further hidden
    layer is a linear ``hidden -> hidden`` with its ReLU.

    Raises:
        ValueError: a size is not a positive integer.
    """

    def __init__(self, feature_dim: int, classes: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        check_sizes(feature_dim=feature_dim, classes=classes, hidden=hidden, layers=layers)
        widths = [classes + feature_dim, *[hidden] * layers]
        stack: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            stack += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.mlp = nn.Sequential(*stack, nn.Linear(hidden, classes))

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        """The module's logits, ``[B, C]``."""
        logits: Tensor = self.mlp(torch.cat((belief, features), dim=1))
        return logits


class BeliefNetwork(nn.Module, ABC):
    """A trunk, and modules that refine a belief one after the other: the interface that training steps use.

    A module maps ``(p_{i-1}, features)`` to ``(logits_i, features)``; subclasses define, in :meth:`run_module`, which
    features these are. ``parameters()`` lists those of the trunk, then those of each module in order. The trunk and
    the modules may be exchanged after construction.

    Args:
        trunk: ``images -> features``.
        local_modules: the modules, first to last.
        classes: C.

    Raises:
        ValueError: there is no module, or ``classes`` is below 2.
    """

    def __init__(self, trunk: nn.Module, local_modules: list[nn.Module], classes: int) -> None:
        super().__init__()
        if not local_modules:
            raise ValueError("local_modules is empty; legal: at least one module")
        if classes < 2:
            raise ValueError(f"classes = {classes}; legal: 2 or more")
        self.classes = classes
        self.trunk = trunk
        self.local_modules = nn.ModuleList(local_modules)

    @abstractmethod
    def run_module(self, module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns ``logits_i`` ``[B, C]`` of ``module`` for ``p_{i-1}`` ``[B, C]``, and the next module's features.

        Gradients flow through both, as backpropagation needs; a local rule passes the features to :meth:`hand_on`. The
        logits have the dtype of beliefs (:func:`sid_core.objective.belief_dtype`), which under autocast is not that of
        the module.
        """

    @abstractmethod
    def hand_on(self, features: Tensor) -> Tensor:
        """Returns ``features`` of :meth:`run_module` as the next module gets them from a local rule."""

    def initial_belief(self, features: Tensor) -> Tensor:
        """``p_0`` for ``features`` ``[B, ...]``: uniform, ``[B, C]``."""
        return uniform_belief(features, self.classes)

    def logits_by_module(self, images: Tensor) -> Iterator[Tensor]:
        """Yields ``logits_1`` to ``logits_L``, each ``[B, C]``; gradients flow from each to all modules before it."""
        features = self.trunk(images)
        belief = self.initial_belief(features)
        last = len(self.local_modules) - 1
        for index, module in enumerate(self.local_modules):
            logits, features = self.run_module(module, belief, features)
            yield logits
            if index < last:  # the last belief is not used
                belief = logits.softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """The plain feed-forward pass: ``images`` to ``logits_L`` ``[B, C]``."""
        for logits in self.logits_by_module(images):
            prediction = logits
        return prediction


class Cascade(BeliefNetwork):
    """A trunk whose features ``[B, d]`` all local modules share; each maps them and a belief to ``logits [B, C]``."""

    def run_module(self, module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the module's logits, ``[B, C]``, and ``features``, ``[B, d]``, unchanged."""
        logits: Tensor = module(belief, features)
        return logits.to(belief_dtype(logits)), features

    def hand_on(self, features: Tensor) -> Tensor:
        """Returns ``features`` unchanged: the trunk learns from all modules."""
        return features


def convolutional_trunk(channels: int, feature_dim: int = 128) -> nn.Sequential:
    """The authors' trunk: ``[B, channels, H, W]`` with H and W of 4 or more, to ``[B, feature_dim]``."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, feature_dim),
    )


def linear_trunk(inputs: int, feature_dim: int = 128) -> nn.Sequential:
    """A trunk of one linear layer: ``[B, ...]`` with ``inputs`` numbers per sample, to ``[B, feature_dim]``."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, feature_dim))


def cascade(
    modules: int,
    classes: int,
    channels: int,
    feature_dim: int = 128,
    hidden: int = 256,
    *,
    depth: int | None = None,
    trunk: nn.Module | None = None,
) -> Cascade:
    """Builds the authors' network, or one like it with another trunk or deeper modules.

    Args:
        modules: L, the number of modules.
        classes: C.
        channels: the channels of the images; used by the authors' trunk only.
        feature_dim: d, the width of the trunk's features.
        hidden: the width of each hidden layer of a module.
        depth: the hidden layers of all modules together; ``modules`` must divide it. By default one per module, as in
            the authors' network.
        trunk: any ``images -> [B, feature_dim]``; by default the authors' convolutional trunk.

    Raises:
        ValueError: a size is not a positive integer, or ``modules`` does not divide ``depth``.
    """
    depth = modules if depth is None else depth
    check_sizes(
        modules=modules, classes=classes, channels=channels, feature_dim=feature_dim, hidden=hidden, depth=depth
    )
    if depth % modules:
        legal = ", ".join(str(count) for count in range(1, depth + 1) if depth % count == 0)
        raise ValueError(f"modules = {modules} does not divide depth = {depth}; legal: {legal}")
    trunk = convolutional_trunk(channels, feature_dim) if trunk is None else trunk
    layers = depth // modules
    return Cascade(trunk, [LocalModule(feature_dim, classes, hidden, layers) for _ in range(modules)], classes)


def check_sizes(**sizes: object) -> None:
    """Checks that ``sizes`` are positive integers.

    Raises:
        ValueError: one is not; the message has its name.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} = {size!r}; legal: integers of 1 or more")
