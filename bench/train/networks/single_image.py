"""Whether a network works on a batch of one image: found out by running it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from bench.config.axes import axes
from bench.config.cell import Cell
from bench.config.networks import Shape
from bench.errors import first_line
from bench.train.meta_tensors import meta_tensors
from bench.train.networks.build import build_network


def why_not_one_image(cell: Cell, shape: Shape, classes: int, *, is_training: bool) -> str | None:
    """Why the network of ``cell`` fails on one image though it works on two; None where that is not so.

    Args:
        cell: its network and the sizes of its network are read.
        shape: ``(channels, height, width)``.
        classes: the number of classes.
        is_training: in training mode, else in evaluation mode.
    """
    return _why_not(_network_alone(cell), shape, classes, is_training)


@cache
def _why_not(cell: Cell, shape: Shape, classes: int, is_training: bool) -> str | None:
    # Tensors without contents take neither memory nor time, but do not do for a network that looks at contents.
    for tensors in (meta_tensors, nullcontext):
        one = _failure(1, cell, shape, classes, is_training, tensors)
        if one is None:
            return None
        if _failure(2, cell, shape, classes, is_training, tensors) is None:
            return first_line(one)
    return None  # it fails whatever the batch, which the cell tells when it runs


def _failure(
    images: int,
    cell: Cell,
    shape: Shape,
    classes: int,
    is_training: bool,
    tensors: Callable[[], AbstractContextManager[None]],
) -> Exception | None:
    """What a forward pass of so many images raises; None if it works."""
    try:
        with torch.random.fork_rng(devices=[]), tensors():
            network = build_network(cell, shape, classes).train(is_training)
            network(torch.empty(images, *shape).zero_())
    except Exception as error:  # a network of somebody's own may raise anything
        return error
    return None


def _network_alone(cell: Cell) -> Cell:
    """``cell`` with all axes at their defaults that its network does not depend on."""
    kept = {name for name, row in axes().items() if row.paired and "memory" in row.bears_on} - {"batch_size"}
    fields = type(cell).model_fields
    return cell.model_copy(update={name: field.default for name, field in fields.items() if name not in kept})
