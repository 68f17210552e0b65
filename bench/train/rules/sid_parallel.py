"""SID with the modules of a cascade on several ranks, which run backward at the same time."""

from typing import TYPE_CHECKING, Any

from bench.config.catalog import CASCADES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.train.ranks.share import RankShare
    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID on several ranks: beliefs handed along, modules backward at the same time; on one rank, streamed"
USES_ALPHA = True
OBJECTIVE = True
ON_ONE_RANK = "sid-streamed"
NETWORKS = CASCADES  # a pipeline's stages have sid-pipelined


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.streamed_step`, the same step where there is nobody to share it with."""
    from sid_core import streamed_step

    return streamed_step(network, images, labels, alpha, **objective)


def on_ranks(network: "BeliefNetwork") -> "RankShare":
    """:func:`sid_core.parallel_step`."""
    from functools import partial

    from bench.train.ranks.bounds import parallel_bound
    from bench.train.ranks.share import RankShare, batch_by_batch
    from sid_core import parallel_step, rank_part

    part = rank_part(network)
    train = batch_by_batch(partial(parallel_step, part))
    bound = partial(parallel_bound, sizes=part.sizes)
    return RankShare(part.network, part.network, part.first + 1, list(part.sizes), train, bound)
