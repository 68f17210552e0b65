"""A backbone divided into stages, each with a head that refines the belief.

``h_0`` are the images, ``h_i = stage_i(sg(h_{i-1}))``, ``logits_i = head_i(p_{i-1}, pool(h_i))`` and
``p_i = softmax(logits_i)``, with the local objective of :mod:`sid_core.objective`. No gradient crosses from stage to
stage, so a step can hold the activations of one stage at a time. Backpropagation trains the same network without
``sg``, through features and beliefs.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from sid_core.network import BeliefNetwork, LocalModule, check_sizes
from sid_core.objective import belief_dtype

_POOLED_DIMENSIONS = {2: (), 3: (1,), 4: (2, 3)}  # of [B, d], [B, tokens, d], [B, d, H, W]


def pool(features: Tensor) -> Tensor:
    """The mean over all positions: ``[B, d, H, W]``, ``[B, tokens, d]`` or ``[B, d]`` to ``[B, d]``.

    Raises:
        ValueError: ``features`` has another number of dimensions.
    """
    dimensions = _POOLED_DIMENSIONS.get(features.dim())
    if dimensions is None:
        raise ValueError(
            f"a stage's features have shape {list(features.shape)}; legal: [B, d], [B, tokens, d], [B, d, H, W]"
        )
    return features.mean(dim=dimensions) if dimensions else features


def run_head(head: nn.Module, belief: Tensor, features: Tensor) -> Tensor:
    """The logits ``[B, C]`` of a stage's ``head`` for ``belief`` ``[B, C]`` and the stage's ``features``.

    The head gets :func:`pool` of the features. If it has a true attribute ``takes_positions``, it gets them as they
    are: ``[B, d, H, W]``, ``[B, tokens, d]`` or ``[B, d]``.
    """
    logits: Tensor = head(belief, features if getattr(head, "takes_positions", False) else pool(features))
    return logits


class PipelineModule(nn.Module):
    """A stage and its head: ``(belief [B, C], features) -> (logits [B, C], features of the stage)``."""

    def __init__(self, stage: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.head = head

    def forward(self, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the head's logits, ``[B, C]``, and the stage's features, the input of the next stage."""
        features = self.stage(features)
        return self.run_head(belief, features), features

    def run_head(self, belief: Tensor, features: Tensor) -> Tensor:
        """The head's logits, ``[B, C]``, for the stage's features; see :func:`run_head`."""
        return run_head(self.head, belief, features)


class Pipeline(BeliefNetwork):
    """A backbone in stages. There is no shared trunk: ``trunk`` is the identity.

    ``local_modules`` are the stages with their heads, each a :class:`PipelineModule`. ``parameters()`` lists those of
    each stage and then its head, in order.

    Args:
        stages: any modules. The first takes the images (floating point), and each other the output of the one before.
            Each returns ``[B, d_i, H, W]``, ``[B, tokens, d_i]`` or ``[B, d_i]``.
        heads: one per stage, ``(belief [B, C], pooled features [B, d_i]) -> logits [B, C]``, or one that takes features
            as they are; see :func:`run_head`.
        classes: C.

    Raises:
        ValueError: there is no stage, there is not one head per stage, or ``classes`` is below 2.
    """

    def __init__(self, stages: Sequence[nn.Module], heads: Sequence[nn.Module], classes: int) -> None:
        if not stages:
            raise ValueError("stages is empty; legal: at least one stage")
        if len(heads) != len(stages):
            raise ValueError(f"heads has {len(heads)} modules; legal: {len(stages)}, one for each stage")
        modules: list[nn.Module] = [PipelineModule(stage, head) for stage, head in zip(stages, heads, strict=True)]
        super().__init__(nn.Identity(), modules, classes)

    @classmethod
    def with_heads(
        cls, stages: Sequence[nn.Module], widths: Sequence[int], classes: int, hidden: int = 256
    ) -> "Pipeline":
        """Builds a pipeline whose heads are local modules with one hidden layer.

        Args:
            stages: as for :class:`Pipeline`.
            widths: ``d_i``, the number of channels or features of the output of each stage.
            classes: C.
            hidden: the width of the hidden layer of each head.

        Raises:
            ValueError: as for :class:`Pipeline`, there is not one width per stage, or a size is not a positive integer.
        """
        for width in widths:
            check_sizes(widths=width)
        check_sizes(classes=classes, hidden=hidden)
        if len(widths) != len(stages):
            raise ValueError(f"widths has {len(widths)} numbers; legal: {len(stages)}, one for each stage")
        return cls(stages, [LocalModule(width, classes, hidden) for width in widths], classes)

    def run_module(self, module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the head's logits, ``[B, C]``, and the stage's features."""
        logits, new_features = module(belief, features)
        return logits.to(belief_dtype(logits)), new_features

    def hand_on(self, features: Tensor) -> Tensor:
        """Returns ``sg(h_i)``: no gradient crosses to the stage before."""
        return features.detach()
