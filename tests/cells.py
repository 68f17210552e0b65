"""What tests ask about methods and cells."""

from functools import partial
from typing import Any

from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import changed
from bench.config.methods import controls, load_method, method_names, rule_of
from bench.errors import ConfigError
from bench.train.micro_batches import in_micro_batches
from bench.train.step import recomputing
from sid_core import BeliefNetwork, Objective


def refusal(method: str, cell: Cell) -> str | None:
    """Why ``method`` does not take ``cell``; None where it does."""
    alpha = 0.5 if cell.alpha is None else cell.alpha
    try:
        changed(cell, method=method, alpha=alpha)
    except ConfigError as error:
        return str(error)
    return None


def methods_taking(cell: Cell) -> list[str]:
    """The methods that take ``cell``, without aliases and without those that need a compiler."""
    return [name for name in rule_names() if refusal(name, cell) is None and not load_method(name).compiles]


def rule_names() -> list[str]:
    """The methods that have a rule of their own."""
    return [name for name in method_names() if load_method(name).alias_of is None]


def control_names() -> list[str]:
    """The controls for gains under label noise."""
    return [row.name for row in controls.ROWS]


def run_method(
    name: str, network: BeliefNetwork, images: Tensor, labels: Tensor, alpha: Any = 0.5, **settings: Any
) -> Tensor:
    """One step's gradients of the method called ``name``, which may be an alias; returns the loss."""
    method = load_method(name)
    chosen = {**method.presets_for({"batch_size": len(labels)}), **settings}
    method = load_method(method.alias_of or name)
    keywords = {axis: value for axis, value in chosen.items() if axis in method.settings}
    rule: Any = partial(rule_of(method), **method.keywords, **keywords)
    if "micro_batches" in chosen:
        rule = in_micro_batches(rule, chosen["micro_batches"])
    network = recomputing(network, chosen.get("recompute", "none"))
    loss: Tensor = rule(network, images, labels, Objective(alpha) if method.uses_alpha else None)
    return loss
