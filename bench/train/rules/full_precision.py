"""Losses that autocast must not narrow: those of small differences between similarities."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from sid_core.objective import belief_dtype


def full_precision(features: Tensor) -> tuple[Tensor, AbstractContextManager[object]]:
    """``features`` in the type of beliefs, and a context in which autocast is off if it had narrowed them."""
    wide = features.to(belief_dtype(features))
    if wide.dtype == features.dtype:
        return wide, nullcontext()
    return wide, torch.autocast(features.device.type, enabled=False)
