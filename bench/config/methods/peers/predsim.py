"""Local prediction and similarity matching: its rows."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="predsim",
        summary="cross-entropy and similarity matching at each stage, stages detached (arXiv 1901.06656)",
        rule="bench.train.rules.peers.predsim:train_each_stage",
        networks=("pipeline",),  # the modules of a cascade share one trunk and hand on no features
        presets={"head": "pooled"},
        auxiliary="bench.train.rules.peers.predsim:similarity_maps",
        not_in_parts="whose loss compares the samples of a batch",
        logits_by_module="bench.train.rules.without_beliefs:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#e0218a",
        order=28,
    ),
    Method(
        name="predsim-authors",
        summary="predsim with the authors' optimizer: adam, 0.0005 and falling (theirs in steps, here as a cosine)",
        alias_of="predsim",
        presets={"optimizer": "adam", "learning_rate": 5e-4, "schedule": "cosine"},
        colour="#b01a6d",
        order=60,
    ),
)
