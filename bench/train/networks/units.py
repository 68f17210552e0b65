"""Backbones by name as lists of units, and the sizes of units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.config.backbone_sides import Shape
from bench.train.meta_tensors import meta_tensors
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
    """Of one unit: the shape of its output without the batch; for two images its bytes, and those kept for backward."""

    output: tuple[int, ...]
    output_bytes: int
    kept_bytes: int


def unit_sizes(units: Sequence[nn.Module], shape: Shape) -> list[UnitSizes]:
    """Run ``units`` forward on tensors without contents, and return the sizes of each.

    Args:
        units: to run one after the other; they stay as they are.
        shape: ``(channels, height, width)`` of the images.
    """
    sizes = []
    with meta_tensors():
        features = torch.empty(_IMAGES, *shape)
        counted = {features.untyped_storage()._cdata}
        states = []  # kept until the end: storages are told apart by their addresses
        for unit in units:
            tensors = (*unit.named_parameters(), *unit.named_buffers())
            state = {name: _without_contents(tensor, features.device) for name, tensor in tensors}
            counted |= {tensor.untyped_storage()._cdata for tensor in state.values()}
            states.append(state)
            kept: list[Tensor] = []
            with torch.autograd.graph.saved_tensors_hooks(_keep_in(kept), lambda tensor: tensor):
                features = functional_call(unit, state, (features,))
            storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
            kept_bytes = sum(size for address, size in storages.items() if address not in counted)
            counted |= set(storages)  # whatever is kept lives as long as the features' graph
            sizes.append(UnitSizes(tuple(features.shape[1:]), features.untyped_storage().nbytes(), kept_bytes))
    return sizes


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
