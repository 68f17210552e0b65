"""Backbones (stub until the full table is merged)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """A backbone."""

    name: str
    summary: str
    units: int
    source: str = "torchvision"

    def refuse_sides(self, height: int, width: int) -> str | None:
        """Legal sizes."""
        if self.name == "conv" and min(height, width) < 4:
            return "4 or more"
        if self.name == "vit-tiny":
            patch = 16 if max(height, width) > 64 else 4
            if height % patch or width % patch:
                return "multiples of 4 up to 64, multiples of 16 above"
        return None

    def batch_norm_pixels(self, height: int, width: int) -> int | None:
        """Pixels."""
        if self.name != "resnet18":
            return None
        shrunk = 2**3 if max(height, width) <= 64 else 2**5
        return -(-height // shrunk) * -(-width // shrunk)


BACKBONES = {
    "conv": Backbone("conv", "five convolutions", 5),
    "resnet18": Backbone("resnet18", "ResNet-18", 9),
    "vgg11": Backbone("vgg11", "VGG-11", 8),
    "vit-tiny": Backbone("vit-tiny", "ViT-Tiny", 13),
}
