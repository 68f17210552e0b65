"""The heads of a pipeline's stages, by name: one row each.

Another package adds a head with an entry point in the group ``sid_bench.heads``, and ``module:attribute`` names one
without packaging. Either may be a :class:`Head` or a builder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from bench.config.registry import Registry
from bench.errors import ConfigError

GROUP = "sid_bench.heads"
DEFAULT_HEAD = "linear"


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """A kind of head that cells can name.

    Attributes:
        name: what it is called.
        summary: one line for ``sid-bench list``.
        builder: what makes the head of one stage, or its name as ``"package.module:function"``. It names what it needs
            of ``features`` (the shape of the stage's output without the batch: ``(d, H, W)``, ``(tokens, d)`` or
            ``(d,)``), ``classes``, ``hidden``, ``stage`` (its number, from 1), ``stages`` (how many there are) and
            ``later`` (a :class:`bench.train.networks.heads.LaterUnits`). It gives a module
            ``(belief [B, C], pooled features [B, d]) -> logits [B, C]``; one with a true attribute ``takes_positions``
            gets the features as they are.
        keywords: passed to the builder in every cell.
        reads_hidden: the axis ``hidden`` bears on it.
        source: where the row comes from.
    """

    name: str
    summary: str
    builder: Any
    keywords: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reads_hidden: bool = False
    source: str = "sid-bench"


_OWN = (
    Head(
        name=DEFAULT_HEAD,
        summary="linear layers on the mean over all positions: belief and features, one hidden layer, classes",
        builder="bench.train.networks.heads:linear_head",
        reads_hidden=True,
    ),
    Head(
        name="projection",
        summary="one linear layer without bias on all activations of a stage (Mono-Forward's, arXiv 2501.09238)",
        builder="bench.train.networks.projection_heads:projection_head",
    ),
    Head(
        name="mlp",
        summary="an MLP of three hidden layers with BatchNorm, on 2x2 positions (DGL's, arXiv 1901.08164)",
        builder="bench.train.networks.heads:mlp_head",
    ),
    Head(
        name="mlp-sr",
        summary="three 1x1 convolutions on a quarter of each side, then the MLP of mlp (DGL's, arXiv 1901.08164)",
        builder="bench.train.networks.heads:mlp_head",
        keywords={"convolutions": 3},
    ),
    Head(
        name="conv",
        summary="two 3x3 convolutions, then one linear layer on 2x2 positions (DGL's cnn, arXiv 1901.08164)",
        builder="bench.train.networks.heads:convolutional_head",
    ),
    Head(
        name="aug",
        summary="units sampled evenly from those still to come, fewer towards the output (AugLocal, arXiv 2402.17318)",
        builder="bench.train.networks.augmented_heads:augmented_head",
    ),
    Head(
        name="pooled",
        summary="one linear layer on at most 4096 average-pooled features (PredSim's predictor, arXiv 1901.06656)",
        builder="bench.train.networks.pooled_heads:pooled_head",
    ),
    Head(
        name="1c2f",
        summary="one 3x3 convolution, the mean over positions, two linear layers (InfoPro's, arXiv 2101.10832)",
        builder="bench.train.networks.one_convolution_heads:one_convolution_head",
    ),
)


def _row(name: str, offered: Any, source: str) -> Head:
    if isinstance(offered, Head):
        return replace(offered, name=name, source=source)
    if not callable(offered):
        raise ConfigError(
            f"head {name!r} ({source}) is of type {type(offered).__name__}; legal: "
            "a bench.config.heads.Head, or a builder (features, classes) -> torch.nn.Module"
        )
    summary = (offered.__doc__ or "a head").strip().splitlines()[0]
    return Head(name=name, summary=summary, builder=offered, reads_hidden=True, source=source)


_REGISTRY = Registry("head", GROUP, {row.name: row for row in _OWN}, _row)
load_head = _REGISTRY.load
head_names = _REGISTRY.names
