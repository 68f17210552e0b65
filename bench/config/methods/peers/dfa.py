"""Direct feedback alignment: its row."""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="dfa",
        summary="direct feedback alignment: each block gets a random map of the output error (arXiv 1609.01596)",
        rule="bench.train.rules.peers.dfa:train_with_feedback",
        auxiliary="bench.train.rules.peers.dfa:feedback_matrix",
        logits_by_module="bench.train.rules.peers.dfa:logits_by_module",
        colour="#a0522d",
        order=34,
    ),
)
