"""What each unit of a backbone gives and holds, from a pass over tensors without contents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.train.meta_tensors import hollow_tensors

# One image would be too few for BatchNorm after the last stride. Bytes grow in proportion, so a cut does not depend on
# the number.
_IMAGES = 2


@dataclass(frozen=True)
class UnitSizes:
    """Of one unit, for two images: channels and bytes of its output, and the bytes kept for its backward pass."""

    width: int
    output_bytes: int
    kept_bytes: int


def unit_sizes(units: Sequence[nn.Module], shape: tuple[int, int, int]) -> list[UnitSizes]:
    """The sizes of each of ``units`` for images of ``shape`` (channels, height, width); the units stay as they are."""
    sizes = []
    with hollow_tensors():
        features = torch.empty(_IMAGES, *shape)
        counted = {features.untyped_storage()._cdata}
        for unit in units:
            state = {name: _empty_like(tensor) for name, tensor in (*unit.named_parameters(), *unit.named_buffers())}
            counted |= {tensor.untyped_storage()._cdata for tensor in state.values()}
            kept: list[Tensor] = []
            with torch.autograd.graph.saved_tensors_hooks(_keep_in(kept), lambda tensor: tensor):
                features = functional_call(unit, state, (features,))
            storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
            kept_bytes = sum(size for address, size in storages.items() if address not in counted)
            counted |= set(storages)  # whatever is kept lives as long as the features' graph
            width = features.shape[2 if features.dim() == 3 else 1]
            sizes.append(UnitSizes(width, features.untyped_storage().nbytes(), kept_bytes))
    return sizes


def _empty_like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)


def _keep_in(kept: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.detach())
        return tensor

    return keep
