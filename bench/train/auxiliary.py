"""The modules that a rule trains, or holds, beside the network of a cell."""

import hashlib

import torch
from torch import nn

from bench.config.axes import values_of
from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.config.plugins import call_with_known, resolve
from bench.errors import ConfigError
from bench.train.data_facts import DataFacts
from sid_core import BeliefNetwork


def build_auxiliary(cell: Cell, network: BeliefNetwork, data: DataFacts) -> nn.Module | None:
    """The auxiliary module of the method of ``cell``, on the cell's device; None for a method without one.

    Args:
        cell: its method, seed and device are read, and any axis that the method's factory names.
        network: that the rule trains; it stays as it is.
        data: what is known of the data.

    Raises:
        ConfigError: the factory gives something else, or needs an argument that is not known.
    """
    method = load_method(cell.method)
    if method.auxiliary is None:
        return None
    torch.manual_seed(_seed(cell.seed))
    known = values_of(cell) | method.settings_for(cell)
    known |= {"network": network, "shape": data.shape, "classes": network.classes}
    known |= {"samples": data.samples, "transition": data.transition}
    made = call_with_known(resolve(method.auxiliary), known, ("network",), f"auxiliary of method {cell.method!r}")
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"auxiliary of method {cell.method!r} gives a {type(made).__name__}; legal: a torch.nn.Module"
        )
    return made if cell.device == "cpu" else made.to(cell.device)


def _seed(seed: int) -> int:
    """A seed whose numbers are not those that the network's weights are drawn from."""
    digest = hashlib.sha256(f"auxiliary {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
