"""AugLocal: its row."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="auglocal",
        summary="cross-entropy at heads of blocks from the layers to come, stages detached (arXiv 2402.17318)",
        rule="bench.train.rules.peers.auglocal:train_each_stage",
        networks=("pipeline",),  # the modules of a cascade have no later layers that a head could be made of
        presets={"head": "aug"},
        logits_by_module="bench.train.rules.without_beliefs:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#1b5e20",
        order=30,
    ),
)
