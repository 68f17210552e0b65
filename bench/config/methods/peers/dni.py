"""Synthetic gradients: their rows."""

from functools import partial

from bench.config.methods.method import Method
from bench.config.methods.refusals import no_compile

ROWS = (
    Method(
        name="dni",
        summary="synthetic gradients: each stage predicts the gradient in its output (DNI, arXiv 1608.05343)",
        rule="bench.train.rules.peers.dni:train_by_synthetic_gradients",
        networks=("pipeline",),  # a gradient in features that all modules of a cascade read is that of no single one
        refusal=partial(no_compile, "which runs stages without their heads"),
        auxiliary="bench.train.rules.peers.dni:synthesizers",
        not_in_parts="whose synthetic gradients have the scale of the whole batch",
        logits_by_module="bench.train.rules.bp_plain:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#00796b",
        order=35,
    ),
)
