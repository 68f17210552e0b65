"""From a stage's features back to the image: the decoders of InfoPro."""

from torch import Tensor, nn
from torch.nn import functional as F

from bench.config.networks import Shape
from bench.errors import ConfigError
from bench.train.networks.heads import Features

_CHANNELS = 12


class Decoder(nn.Module):
    """Features of a stage to logits of pixels, ``[B, channels, H, W]``.

    Maps are resized to the image (bilinear, with aligned corners) and pass two 3x3 convolutions, with BatchNorm and
    ReLU between: the decoder of the authors of InfoPro (Wang et al., arXiv 2101.10832). They treat maps only. Tokens
    are put back on their grid, without a class token, and are then maps. ``[B, d]`` passes one linear layer.

    Args:
        features: the shape of the stage's output, without the batch.
        shape: ``(channels, height, width)`` of the images.
        widen: multiplies the 12 channels between the convolutions.

    Raises:
        ConfigError: tokens are not on a grid of the image's shape.
    """

    def __init__(self, features: Features, shape: Shape, widen: float = 1.0) -> None:
        super().__init__()
        self._shape = shape
        self._grid = _grid(features, shape) if len(features) == 2 else None
        if len(features) == 1:
            self.decoder = nn.Sequential(nn.Linear(features[0], shape[0] * shape[1] * shape[2]))
            return
        width = features[0] if len(features) == 3 else features[1]
        kept = int(_CHANNELS * widen)
        self.decoder = nn.Sequential(
            nn.Conv2d(width, kept, 3, padding=1),
            nn.BatchNorm2d(kept),
            nn.ReLU(),
            nn.Conv2d(kept, shape[0], 3, padding=1),
        )
        for layer in (self.decoder[0], self.decoder[3]):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """``[B, channels, H, W]`` for ``features`` ``[B, d, H', W']``, ``[B, tokens, d]`` or ``[B, d]``."""
        pixels: Tensor
        if features.dim() == 2:
            pixels = self.decoder(features).unflatten(1, self._shape)
            return pixels
        if self._grid is not None:
            rows, columns = self._grid
            features = features[:, -rows * columns :].transpose(1, 2).unflatten(2, self._grid)
        resized = F.interpolate(features, size=self._shape[1:], mode="bilinear", align_corners=True)
        pixels = self.decoder(resized)
        return pixels


def _grid(features: Features, shape: Shape) -> tuple[int, int]:
    """Rows and columns of tokens; a class token may stand before them."""
    _, height, width = shape
    tokens, _ = features
    for patches in (tokens, tokens - 1):
        rows = round((patches * height / width) ** 0.5)
        if rows and patches % rows == 0 and rows * width == patches // rows * height:
            return rows, patches // rows
    raise ConfigError(
        f"a stage with features [B, {tokens}, {features[1]}] cannot be decoded to images of {height}x{width} pixels; "
        "legal: tokens on a grid of the image's shape, with or without a class token; maps; [B, d]"
    )
