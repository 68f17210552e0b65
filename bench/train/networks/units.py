"""Backbones by name as lists of units, and the sizes of units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.config.backbone_sides import Shape
from bench.errors import ConfigError, first_line
from bench.train.meta_tensors import ContentsNeededError, meta_tensors
from bench.train.networks.own_backbones import OWN_BACKBONES

# One image would be too few for BatchNorm after the last stride. Bytes grow in proportion, so the cut does not depend
# on the number.
_IMAGES = 2


def build_units(backbone: str, shape: Shape) -> list[nn.Module]:
    """Build the units of ``backbone``, with weights from torch's generator.

    Args:
        backbone: a name in :data:`bench.config.backbones.BACKBONES`.
        shape: ``(channels, height, width)`` of the images, of legal sides.

    Returns:
        Modules to run one after the other on images ``[B, channels, height, width]``, each with an output
        ``[B, d, H, W]`` or ``[B, tokens, d]``.

    Raises:
        ValueError: there is no such backbone.
    """
    if backbone in OWN_BACKBONES:
        return OWN_BACKBONES[backbone](shape)
    from bench.train.networks.torchvision_models import units_of  # takes a second to import

    return units_of(backbone, shape)


@dataclass(frozen=True)
class UnitSizes:
    """Of one unit: the shape of its output without the batch; for two images its bytes, and those kept for backward.

    ``name`` says which unit it is, for an error; ``rows`` is the first size of its output for two images.
    """

    name: str
    rows: int
    output: tuple[int, ...]
    output_bytes: int
    kept_bytes: int


def unit_sizes(units: Sequence[nn.Module], shape: Shape) -> list[UnitSizes]:
    """Run ``units`` forward on tensors without contents, and return the sizes of each.

    Args:
        units: to run one after the other; they stay as they are.
        shape: ``(channels, height, width)`` of the images.

    Raises:
        ConfigError: a unit does not take what the one before gives, gives no tensor, or asks for contents.
    """
    sizes = []
    with meta_tensors():
        features = torch.empty(_IMAGES, *shape)
        counted = {features.untyped_storage()._cdata}
        states = []  # kept until the end: storages are told apart by their addresses
        for number, unit in enumerate(units, start=1):
            name = f"unit {number} of {len(units)}, {type(unit).__name__},"
            tensors = (*unit.named_parameters(), *unit.named_buffers())
            state = {name: _without_contents(tensor, features.device) for name, tensor in tensors}
            counted |= {tensor.untyped_storage()._cdata for tensor in state.values()}
            states.append(state)
            kept: list[Tensor] = []
            with torch.autograd.graph.saved_tensors_hooks(_keep_in(kept), lambda tensor: tensor):
                features = _output(unit, name, state, features)
            storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
            kept_bytes = sum(size for address, size in storages.items() if address not in counted)
            counted |= set(storages)  # whatever is kept lives as long as the features' graph
            rows, *output = features.shape or (0,)
            sizes.append(UnitSizes(name, rows, tuple(output), features.untyped_storage().nbytes(), kept_bytes))
    return sizes


def refuse_output(unit: UnitSizes) -> None:
    """Refuse the last unit of a stage unless a head can read its output.

    Raises:
        ConfigError: the output has another number of rows than there are images, or another number of dimensions.
    """
    if unit.rows != _IMAGES or not 1 <= len(unit.output) <= 3:
        raise ConfigError(
            f"{unit.name} ends a stage and gives features of shape {[unit.rows, *unit.output]} for {_IMAGES} images; "
            "legal: [B, d], [B, tokens, d] or [B, d, H, W], where B is the number of images"
        )


def _output(unit: nn.Module, name: str, state: dict[str, Tensor], features: Tensor) -> Tensor:
    """What ``unit`` with the tensors ``state`` gives for ``features``."""
    given = f"{name} gets a tensor of shape {list(features.shape)}"
    try:
        output: object = functional_call(unit, state, (features,))
    except ContentsNeededError as error:
        raise ConfigError(
            f"{given}, and {error}; legal: a unit whose operators do not depend on the contents of tensors. A builder "
            "that returns a sid_core.Pipeline may have others"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{given}, and fails: {first_line(error)}; legal: a unit that takes the output of the one before, the "
            "first one the images"
        ) from error
    if not isinstance(output, Tensor):
        raise ConfigError(f"{given}, and gives a {type(output).__name__}; legal: one tensor")
    return output


def _without_contents(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, where its contents do not matter."""
    if tensor.device == device:
        return tensor
    return torch.empty_like(tensor, device=device).requires_grad_(tensor.requires_grad)


def _keep_in(kept: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.detach())
        return tensor

    return keep
