"""Networks that another package or a file offers: built as they want to be, and described for those who plan."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from bench.config.heads import DEFAULT_HEAD
from bench.config.networks import Layout, Network
from bench.config.plugins import call_with_known, resolve
from bench.errors import ConfigError, first_line
from bench.train.meta_tensors import meta_tensors
from sid_core import BeliefNetwork, Pipeline

# The arguments of a builder, in their order where it calls them otherwise.
_USUAL = ("shape", "classes", "modules", "cut", "hidden")
_CHOICES = frozenset({"depth", "cut", "width", "hidden", "head"})


def build(network: Network, known: Mapping[str, Any]) -> BeliefNetwork | list[nn.Module]:
    """What the builder of ``network`` gives: a network, or units to cut into stages.

    A list of modules in place of a builder is copied, so that every network starts from the weights that it was made
    with.

    Args:
        network: its row.
        known: the arguments that the builder may name.

    Raises:
        ConfigError: the builder needs another argument, or gives something else.
    """
    builder = resolve(network.builder)
    if isinstance(builder, Sequence | nn.ModuleList | nn.Sequential):
        built: Any = _copied(list(builder))
    elif isinstance(builder, nn.Module):
        (built,) = _copied([builder])
    else:
        built = call_with_known(builder, {**known, **network.keywords}, _USUAL, f"network {network.name!r}")
    if isinstance(built, BeliefNetwork):
        return built
    if isinstance(built, Sequence | nn.ModuleList | nn.Sequential):
        units = list(built)
        if units and all(isinstance(unit, nn.Module) for unit in units):
            return units
    hint = ", as of a function that returns [net.stem, *net.blocks]" if isinstance(built, nn.Module) else ""
    raise ConfigError(
        f"network {network.name!r} gives {_kind(built)}; legal: a sid_core.BeliefNetwork, or a list of one or more "
        f"torch.nn.Module, each of which takes what the one before gives{hint}"
    )


def _copied(modules: list[Any]) -> list[Any]:
    """Copies of ``modules``, without contents where tensors are made without contents.

    They are copied together: what two of them share, their copies share as well.
    """
    probe = torch.empty(0)
    if probe.device.type == "cpu" and not isinstance(probe, FakeTensor):
        return copy.deepcopy(modules)
    replaced: dict[int, Any] = {}
    for module in modules:
        if not isinstance(module, nn.Module):
            continue
        for parameter in module.parameters():
            if id(parameter) not in replaced:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                replaced[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
        for buffer in module.buffers():
            if id(buffer) not in replaced:
                replaced[id(buffer)] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return copy.deepcopy(modules, replaced)


@cache
def described(network: Network, shape: tuple[int, int, int], classes: int) -> Network:
    """``network`` with its layout, its number of units and what it reads, from one build without arithmetic.

    Raises:
        ConfigError: it cannot be built.
    """
    known = {"shape": shape, "classes": classes, "modules": 1, "cut": "even", "hidden": 8, "depth": 1, "width": 8}
    known["head"] = DEFAULT_HEAD
    try:
        with torch.random.fork_rng(devices=[]), meta_tensors():
            built = build(network, known)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"network {network.name!r} cannot be built: {first_line(error)}") from error
    if isinstance(built, BeliefNetwork):
        return replace(network, layout=layout_of(built), reads=_named_choices(network.builder))
    return replace(
        network, layout="pipeline", units=len(built), reads=frozenset({"cut", "hidden", "head"}), has_heads=True
    )


def layout_of(network: BeliefNetwork) -> Layout:
    """``pipeline`` for a network in stages, else ``cascade``."""
    return "pipeline" if isinstance(network, Pipeline) else "cascade"


def _named_choices(builder: Any) -> frozenset[str]:
    """Which choices of a cell reach ``builder``."""
    parameters = inspect.signature(resolve(builder)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return _CHOICES
    named = _CHOICES & parameters.keys()
    return named if named or "shape" in parameters else _CHOICES & set(_USUAL)


def _kind(built: object) -> str:
    if isinstance(built, Sequence):
        kinds = sorted({type(part).__name__ for part in built})
        return f"a {type(built).__name__} of {', '.join(kinds) or 'nothing'}"
    return f"a {type(built).__name__}"
