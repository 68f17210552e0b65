"""Vision transformers, Swin transformers (v1 and v2) and MaxViT."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import maxvit, swin_transformer
from torchvision.ops.misc import Permute

from bench.config.backbone_sides import is_small
from bench.train.networks.torchvision_models.family import (
    Family,
    Shape,
    draw_as_usual,
    fit_channels,
    grouped,
    opened,
)

_SMALL_PATCH = 4


class VisionTransformer(Family):
    """ViT (Dosovitskiy et al., arXiv 2010.11929): features are ``[B, 1 + patches, d]``, the class token first.

    Small images are cut into patches of 4x4 pixels; images need not be square.
    """

    def fit(self, model: Any, shape: Shape) -> None:
        """Patches, and a position for each."""
        channels, height, width = shape
        patch = _SMALL_PATCH if is_small(height, width) else model.patch_size
        if (channels, patch) != (3, model.patch_size):
            model.conv_proj = nn.Conv2d(channels, model.hidden_dim, patch, stride=patch)
            nn.init.trunc_normal_(model.conv_proj.weight, std=(channels * patch * patch) ** -0.5)
            nn.init.zeros_(model.conv_proj.bias)
        tokens = 1 + (height // patch) * (width // patch)
        if tokens != model.seq_length:
            model.encoder.pos_embedding = nn.Parameter(torch.empty(1, tokens, model.hidden_dim).normal_(std=0.02))
        model.patch_size, model.image_size, model.seq_length = patch, height, tokens

    def units(self, model: Any) -> list[nn.Module]:
        """Patches, and the blocks, the last with the encoder's norm."""
        *blocks, last = model.encoder.layers
        return [_Tokens(model), *blocks, nn.Sequential(last, model.encoder.ln)]

    def head(self, model: Any) -> nn.Module:
        """The class token's features, and the classifier."""
        return nn.Sequential(_ClassToken(), model.heads)


class _Tokens(nn.Module):
    """Images to tokens ``[B, 1 + patches, d]``: a class token and patches, with their positions."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.class_token = model.class_token
        self.positions = model.encoder.pos_embedding
        self.patches = model.conv_proj
        self.dropout = model.encoder.dropout

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        class_tokens = self.class_token.expand(len(images), -1, -1)
        tokens: Tensor = self.dropout(torch.cat([class_tokens, patches], dim=1) + self.positions)
        return tokens


class _ClassToken(nn.Module):
    """``[B, 1 + patches, d]`` to the first token's features ``[B, d]``."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


class SwinTransformer(Family):
    """Swin (Liu et al., arXiv 2103.14030) and Swin v2 (arXiv 2111.09883), as published for every size.

    torchvision computes with channels last; what goes into a unit and out of it is a view with channels first.
    """

    begins = (swin_transformer.SwinTransformerBlock,)  # v2's block is one, too

    def fit(self, model: Any, shape: Shape) -> None:
        """The channels of patches."""
        fit_channels(model.features[0], shape[0], draw_as_usual)

    def units(self, model: Any) -> list[nn.Module]:
        """Patches, and the blocks; merging patches ends a unit, and the last block has the norm with it."""
        first, *others = grouped([*opened(model.features), model.norm], self.begins)
        return [nn.Sequential(first, Permute([0, 3, 1, 2])), *map(_ChannelsLast, others)]

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(model.avgpool, model.flatten, model.head)


class _ChannelsLast(nn.Module):
    """``layers``, which compute on ``[B, H, W, d]``, as a function of ``[B, d, H, W]``."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features.permute(0, 2, 3, 1))
        return output.permute(0, 3, 1, 2)


class MaxViT(Family):
    """MaxViT (Tu et al., arXiv 2204.01697), as published: squares that it can partition by sevens at each scale."""

    begins = (maxvit.MaxVitLayer,)

    def options(self, shape: Shape) -> dict[str, Any]:
        """The size of the images."""
        return {"input_size": shape[1:]}

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels."""
        fit_channels(model.stem[0], shape[0], lambda new: nn.init.normal_(new.weight, std=0.02))

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, and the layers of four blocks: each a convolution and two attentions."""
        return *model.stem, *(layer for block in model.blocks for layer in block.layers)

    def head(self, model: Any) -> nn.Module:
        """Mean, norm and classifier."""
        classifier: nn.Module = model.classifier
        return classifier
