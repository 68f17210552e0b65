"""Data sets, by name: one row each.

Another package adds a data set with an entry point in the group ``sid_bench.datasets``, and ``module:attribute`` names
one without packaging. Either may be a :class:`Dataset`, a map-style ``torch.utils.data.Dataset``, or a loader that
gives tensors or such data sets (see :mod:`bench.train.datasets.own`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from bench.config.plugins import parameters_of
from bench.config.registry import Registry
from bench.errors import ConfigError

GROUP = "sid_bench.datasets"

# Source class -> class its labels move to. Digits: Patrini et al., arXiv 1609.03683; SVHN shows the same ten figures.
_DIGITS_MAP = ((2, 7), (3, 8), (5, 6), (6, 5), (7, 1))
# T-shirt -> shirt, pullover -> coat, sandal -> sneaker (Ma et al., arXiv 1806.02612).
_FASHION_MAP = ((0, 6), (2, 4), (5, 7))
# bird -> airplane, cat <-> dog, deer -> horse, truck -> automobile (Patrini et al.).
CIFAR10_MAP = ((2, 0), (3, 5), (4, 7), (5, 3), (9, 1))
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
_FOLDER_OF_IMAGES = "image-folder"
_SHAPE_AXES = ("image_size", "channels", "classes")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set that cells can name.

    Attributes:
        name: what it is called.
        summary: one line for ``sid-bench list``.
        loader: what loads it, or its name as ``"package.module:function"``. It is called with those of ``data_root``
            (a path or None), ``download`` and the axes of a cell that it names. A ``torch.utils.data.Dataset`` may
            stand in its place.
        keywords: passed to the loader in every cell.
        shape: ``(channels, height, width)`` of an image, None where the loader or the cell decides.
        classes: the number of classes, None likewise.
        train_images: the number of training images, those for validation included; None likewise.
        free: the axes among ``image_size``, ``channels`` and ``classes`` that a cell may choose.
        asymmetric: maps a class to the one that asymmetric noise confuses it with; None where no such map is known.
        is_labelled: its labels mean something, so that the accuracy pass does, too.
        preload: modules that loading needs, loaded once before the first cell.
        source: where the row comes from.
    """

    name: str
    summary: str
    loader: Any
    keywords: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    train_images: int | None = None
    free: tuple[str, ...] = ()
    asymmetric: tuple[tuple[int, int], ...] | None = None
    is_labelled: bool = True
    preload: tuple[str, ...] = ()
    source: str = "sid-bench"


def _torchvision(
    name: str,
    torchvision_name: str,
    summary: str,
    shape: tuple[int, int, int],
    classes: int,
    train_images: int,
    **fields: Any,
) -> Dataset:
    return Dataset(
        name=name,
        summary=summary,
        loader="bench.train.datasets.load:load_torchvision",
        keywords={"torchvision_name": torchvision_name, "classes": classes},
        shape=shape,
        classes=classes,
        train_images=train_images,
        preload=("torchvision",),
        source="torchvision",
        **fields,
    )


_OWN = {
    row.name: row
    for row in (
        Dataset(
            name="digits",
            summary="1,797 real digits of 8x8 pixels; comes with scikit-learn",
            loader="bench.train.datasets.load:load_digits",
            shape=(1, 8, 8),
            classes=10,
            train_images=1437,
            asymmetric=_DIGITS_MAP,
            preload=("sklearn.datasets",),
            source="scikit-learn",
        ),
        Dataset(
            name="digits-32",
            summary="the same digits, enlarged to 32x32 pixels",
            loader="bench.train.datasets.load:load_digits",
            keywords={"side": 32},
            shape=(1, 32, 32),
            classes=10,
            train_images=1437,
            asymmetric=_DIGITS_MAP,
            preload=("sklearn.datasets",),
            source="scikit-learn",
        ),
        _torchvision("mnist", "MNIST", "70,000 digits", (1, 28, 28), 10, 60_000, asymmetric=_DIGITS_MAP),
        _torchvision(
            "fashion-mnist",
            "FashionMNIST",
            "70,000 pieces of clothing",
            (1, 28, 28),
            10,
            60_000,
            asymmetric=_FASHION_MAP,
        ),
        _torchvision("cifar10", "CIFAR10", "60,000 colour images", (3, 32, 32), 10, 50_000, asymmetric=CIFAR10_MAP),
        _torchvision("cifar100", "CIFAR100", "60,000 colour images", (3, 32, 32), 100, 50_000),
        _torchvision("svhn", "SVHN", "99,289 house numbers", (3, 32, 32), 10, 73_257, asymmetric=_DIGITS_MAP),
        Dataset(
            name=_FOLDER_OF_IMAGES,
            summary="images in DATA_ROOT/{train,test}/CLASS/, or image-folder:NAME for DATA_ROOT/NAME",
            loader="bench.train.datasets.load:load_folder",
            free=("image_size", "channels"),
        ),
        Dataset(
            name="random",
            summary="synthetic images for the memory and latency passes",
            loader="bench.train.datasets.load:make_random",
            free=("image_size", "channels", "classes"),
            is_labelled=False,
        ),
    )
}


def is_image_folder(name: str) -> bool:
    """Whether the data set called ``name`` is a folder of images."""
    return name.partition(":")[0] == _FOLDER_OF_IMAGES


def asymmetric_names() -> list[str]:
    """The data sets whose class map of asymmetric noise is known."""
    return [name for name, row in _OWN.items() if row.asymmetric]


def synthetic_shape(
    image_size: int | None, channels: int | None, classes: int | None
) -> tuple[tuple[int, int, int], int]:
    """``(channels, height, width)`` and the classes of the data set ``random``, where None takes the usual."""
    usual_channels, height, width = _SYNTHETIC_SHAPE
    shape = (channels or usual_channels, image_size or height, image_size or width)
    return shape, classes or _SYNTHETIC_CLASSES


def synthetic_training_images(batch_size: int) -> int:
    """How many training images the data set ``random`` has, those for validation included."""
    return 2 * batch_size


def _row(name: str, offered: Any, source: str) -> Dataset:
    if isinstance(offered, Dataset):
        return replace(offered, name=name, source=source)
    if not callable(offered) and not (hasattr(offered, "__getitem__") and hasattr(offered, "__len__")):
        raise ConfigError(
            f"dataset {name!r} ({source}) is of type {type(offered).__name__}; legal: "
            "a bench.config.datasets.Dataset, a loader that gives tensors or map-style data sets, or a map-style "
            "torch.utils.data.Dataset"
        )
    summary = (offered.__doc__ or "a data set").strip().splitlines()[0]
    free = tuple(axis for axis in _SHAPE_AXES if callable(offered) and axis in parameters_of(offered))
    return Dataset(name=name, summary=summary, loader=offered, free=free, source=source)


def _folder_in_data_root(name: str) -> Dataset | None:
    """The row of ``image-folder:NAME``."""
    kind, _, folder = name.partition(":")
    return replace(_OWN[kind], name=name, keywords={"folder": folder}) if kind == _FOLDER_OF_IMAGES and folder else None


_REGISTRY = Registry("dataset", GROUP, _OWN, _row, _folder_in_data_root)
load_dataset_row = _REGISTRY.load
known_dataset = _REGISTRY.known
dataset_names = _REGISTRY.names
