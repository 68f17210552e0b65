"""The names of networks and data sets, and what is known of them without loading torch."""

from dataclasses import dataclass
from types import MappingProxyType

NETWORKS = MappingProxyType(
    {
        "cascade-conv": "a cascade on the authors' convolutional trunk",
        "cascade-linear": "a cascade on one linear layer, which shows the modules' own cost",
        "cascade-resnet18": "a cascade whose trunk is ResNet-18, the layout as published",
        "cascade-vgg11": "a cascade whose trunk is VGG-11's convolutions, the layout as published",
        "cascade-vit-tiny": "a cascade whose trunk is ViT-Tiny, the layout as published",
        "pipeline-conv": "five convolutions in stages, for images of 4 pixels or more",
        "pipeline-linear": "linear layers of equal width in stages, as many as one likes",
        "pipeline-resnet18": "ResNet-18 in stages: a stem and 8 blocks, with BatchNorm",
        "pipeline-vgg11": "VGG-11's convolutions in stages: 8 units",
        "pipeline-vit-tiny": "ViT-Tiny in stages: patches and 12 blocks of width 192",
    }
)

# The units of each backbone, which fix the depth: a stem, where there is one, and blocks.
BACKBONE_UNITS = MappingProxyType(
    {"pipeline-conv": 5, "pipeline-resnet18": 9, "pipeline-vgg11": 8, "pipeline-vit-tiny": 13}
)

# Cascades whose trunk is a whole backbone, each with the pipeline that has the same backbone in stages.
BACKBONE_TRUNKS = MappingProxyType(
    {
        "cascade-resnet18": "pipeline-resnet18",
        "cascade-vgg11": "pipeline-vgg11",
        "cascade-vit-tiny": "pipeline-vit-tiny",
    }
)

PIPELINES = tuple(name for name in NETWORKS if name in {*BACKBONE_UNITS, "pipeline-linear"})
CASCADES = tuple(name for name in NETWORKS if name not in PIPELINES)

# Images of at most so many pixels a side get the usual small variants of backbones.
SMALL_SIDE = 64
# Pixels a side of the ViT's patches, on small images and on larger ones.
VIT_PATCHES = (4, 16)
_LEAST_SIDE = 4  # two poolings need so many pixels
_POOLED_TWICE = ("cascade-conv", "pipeline-conv")

# Source class -> class its labels move to. Digits: Patrini et al., arXiv 1609.03683; SVHN shows the same ten figures.
_DIGITS_MAP = ((2, 7), (3, 8), (5, 6), (6, 5), (7, 1))
# T-shirt -> shirt, pullover -> coat, sandal -> sneaker (Ma et al., arXiv 1806.02612).
_FASHION_MAP = ((0, 6), (2, 4), (5, 7))
# bird -> airplane, cat <-> dog, deer -> horse, truck -> automobile (Patrini et al.).
_CIFAR10_MAP = ((2, 0), (3, 5), (4, 7), (5, 3), (9, 1))

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


# What synthetic images are where nothing else is asked for: (channels, height, width), and the number of classes.
_SYNTHETIC_SHAPE = (1, 28, 28)
_SYNTHETIC_CLASSES = 10


@dataclass(frozen=True)
class DatasetInfo:
    """A data set as the planner sees it.

    ``shape`` is ``(channels, height, width)`` and ``classes`` the number of classes, each None where the files (or the
    cell) decide. ``asymmetric`` maps a class to the one that asymmetric noise confuses it with, None where the data
    set has no such map that we know of.
    """

    summary: str
    shape: tuple[int, int, int] | None
    classes: int | None
    asymmetric: tuple[tuple[int, int], ...] | None = None
    torchvision_name: str | None = None


DATASETS = MappingProxyType(
    {
        "digits": DatasetInfo("1,797 real digits of 8x8 pixels; comes with scikit-learn", (1, 8, 8), 10, _DIGITS_MAP),
        "mnist": DatasetInfo("70,000 digits", (1, 28, 28), 10, _DIGITS_MAP, "MNIST"),
        "fashion-mnist": DatasetInfo("70,000 pieces of clothing", (1, 28, 28), 10, _FASHION_MAP, "FashionMNIST"),
        "cifar10": DatasetInfo("60,000 colour images", (3, 32, 32), 10, _CIFAR10_MAP, "CIFAR10"),
        "cifar100": DatasetInfo("60,000 colour images", (3, 32, 32), 100, None, "CIFAR100"),
        "svhn": DatasetInfo("99,289 house numbers", (3, 32, 32), 10, _DIGITS_MAP, "SVHN"),
        "image-folder": DatasetInfo(
            "DATA_ROOT/{train,test}/CLASS/*.jpg (or .png), or image-folder:NAME for DATA_ROOT/NAME", None, None
        ),
        "random": DatasetInfo("synthetic images for the memory and latency passes", None, None),
    }
)


def dataset_info(name: str) -> DatasetInfo:
    """The entry for ``name``, where ``image-folder:NAME`` is an ``image-folder``; KeyError where there is none."""
    kind, separator, folder = name.partition(":")
    if separator and (kind != "image-folder" or not folder):
        raise KeyError(name)
    return DATASETS[kind]


def refuse_sides(network: str, height: int, width: int) -> str | None:
    """Why ``network`` does not take images of ``height`` by ``width`` pixels; None where it does."""
    if network in _POOLED_TWICE and min(height, width) < _LEAST_SIDE:
        legal = f"{_LEAST_SIDE} or more"
    elif network.endswith("vit-tiny") and (height % vit_patch(height, width) or width % vit_patch(height, width)):
        small, large = VIT_PATCHES
        legal = f"multiples of {small} up to {SMALL_SIDE}, multiples of {large} above"
    else:
        return None
    return f"image_size = {height if height == width else f'{height}x{width}'} for network {network}; legal: {legal}"


def batch_norm_sees_pixels(network: str, height: int, width: int) -> int | None:
    """Pixels of the smallest map that BatchNorm sees in ``network``; None where it has no BatchNorm."""
    if not network.endswith("resnet18"):
        return None
    shrunk = 2**3 if max(height, width) <= SMALL_SIDE else 2**5
    return -(-height // shrunk) * -(-width // shrunk)


def vit_patch(height: int, width: int) -> int:
    """Pixels a side of the patches that the ViT cuts images of ``height`` by ``width`` pixels into."""
    return VIT_PATCHES[max(height, width) > SMALL_SIDE]


def synthetic_shape(
    image_size: int | None, channels: int | None, classes: int | None
) -> tuple[tuple[int, int, int], int]:
    """``(channels, height, width)`` and the classes of the data set ``random``, where None takes the usual."""
    usual_channels, height, width = _SYNTHETIC_SHAPE
    shape = (channels or usual_channels, image_size or height, image_size or width)
    return shape, classes or _SYNTHETIC_CLASSES
