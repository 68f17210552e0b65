"""Mono-Forward: its row."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="mono-forward",
        summary="Mono-Forward: cross-entropy on a projection of each stage's activations (arXiv 2501.09238)",
        rule="bench.train.rules.peers.dgl:train_each_stage",
        networks=("pipeline",),  # the modules of a cascade share one trunk and hand on no features
        presets={"head": "projection"},
        logits_by_module="bench.train.rules.peers.mono_forward:logits_by_module",
        colour="#6b7a00",
        order=33,
    ),
)
