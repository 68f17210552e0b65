"""The other layout: an ordinary backbone cut into stages, each with a head that refines the belief.

``h_0`` are the images, ``h_i = stage_i(sg(h_{i-1}))``, ``logits_i = head_i(p_{i-1}, pool(h_i))`` and
``p_i = softmax(logits_i)``, with the local objective of :mod:`sid_core.objective`. No gradient crosses from stage to
stage, so that a step need not hold more than one stage's activations. Backpropagation trains the same network without
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


class PipelineModule(nn.Module):
    """A stage and its head: ``(belief [B, C], features) -> (logits [B, C], features of the stage)``."""

    def __init__(self, stage: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.head = head

    def forward(self, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The head's logits, ``[B, C]``, and the stage's features, which are the next stage's input."""
        features = self.stage(features)
        return self.head(belief, pool(features)), features


class Pipeline(BeliefNetwork):
    """A backbone in stages. It has no shared trunk: ``trunk`` is the identity, ``local_modules`` hold stages and heads.

    Args:
        stages: any modules, each of which takes the output of the one before, the first the images (floating point).
            Each gives ``[B, d_i, H, W]``, ``[B, tokens, d_i]`` or ``[B, d_i]``.
        heads: one a stage, ``(belief [B, C], pooled features [B, d_i]) -> logits [B, C]``.
        classes: C.

    Raises:
        ValueError: there is no stage, not one head a stage, or fewer than two classes.

    Parameters are listed stage by stage, each with its head.
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
        """A pipeline whose heads are local modules with one hidden layer.

        Args:
            stages: as above.
            widths: d_i, the channels or features that each stage puts out.
            classes: C.
            hidden: the width of each head's hidden layer.

        Raises:
            ValueError: as above, with ``widths`` in the place of heads, or a size is not a positive integer.
        """
        for width in widths:
            check_sizes(widths=width)
        check_sizes(classes=classes, hidden=hidden)
        if len(widths) != len(stages):
            raise ValueError(f"widths has {len(widths)} numbers; legal: {len(stages)}, one for each stage")
        return cls(stages, [LocalModule(width, classes, hidden) for width in widths], classes)

    def run_module(self, module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The head's logits, ``[B, C]``, and the stage's own features."""
        logits, new_features = module(belief, features)
        return logits.to(belief_dtype(logits)), new_features

    def hand_on(self, features: Tensor) -> Tensor:
        """``sg(h_i)``: no gradient crosses to the stage before."""
        return features.detach()
