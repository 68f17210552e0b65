"""Decoupled greedy learning: its row."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="dgl",
        summary="decoupled greedy learning: cross-entropy at each stage's head, stages detached (arXiv 1901.08164)",
        rule="bench.train.rules.peers.dgl:train_each_stage",
        networks=("pipeline",),  # the modules of a cascade share one trunk and hand on no features
        presets={"head": "mlp-sr"},
        logits_by_module="bench.train.rules.without_beliefs:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#b5121b",
        order=27,
    ),
)
