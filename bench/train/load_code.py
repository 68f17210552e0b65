"""Loads the code that a cell names, before anything of it runs."""

from bench.config.cell import Cell
from bench.config.heads import load_head
from bench.config.methods import load_method
from bench.config.networks import load_network
from bench.config.plugins import resolve


def load_code(cell: Cell) -> None:
    """Imports the rule, the network and the heads of ``cell``.

    Raises:
        ConfigError: one of them cannot be imported; the message says why.
    """
    method = load_method(cell.method)
    for code in (
        method.rule,
        method.auxiliary,
        method.learn_from_bp,
        method.after_step,
        method.logits_by_module,
        method.predict,
    ):
        resolve(code)
    resolve(load_network(cell.network).builder)
    resolve(load_head(cell.head).builder)
