"""SID whose beliefs are targets only: its row.

ZeroLock (arXiv 2608.07974) trains stages on ``alpha CE + (1 - alpha) KL(sg p_{i-1} || p_i)``, the local objective of
SID up to a constant, and no stage reads a belief. Here every module takes ``p_0``, and ``p_0`` is also the target
before the first module, as in SID. The paper trains language models; here are classifiers.
"""

from bench.config.methods.method import Method

ROWS = (
    Method(
        name="sid-target",
        summary="SID with beliefs as targets only, never as inputs (ZeroLock, arXiv 2608.07974)",
        rule="sid_core:streamed_step",
        keywords={"target_only": True},
        uses_alpha=True,
        objective=True,
        is_peer=True,
        logits_by_module="bench.train.rules.without_beliefs:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#4a6fe3",
        order=26,
    ),
)
