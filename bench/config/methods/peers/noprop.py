"""NoProp with discrete time: its row."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="noprop",
        summary="NoProp-DT: each module denoises a label embedding from its own noise level (arXiv 2503.24322)",
        rule="bench.train.rules.peers.noprop:train_each_block",
        networks=("cascade",),  # a stage of a pipeline reads features alone, and no noisy label
        auxiliary="bench.train.rules.peers.noprop:Embedding",
        predicts_with_auxiliary=True,
        logits_by_module="bench.train.rules.peers.noprop:logits_by_module",
        colour="#8e44ad",
        order=31,
    ),
)
