"""SID with the stages of a pipeline on several ranks, each of which goes on to the next batch at once."""

from typing import TYPE_CHECKING

from bench.config.catalog import PIPELINES

if TYPE_CHECKING:
    from bench.train.ranks.share import RankShare
    from sid_core import BeliefNetwork

SUMMARY = "SID on several ranks, pipelined: features handed on, then the stage's own update and the next batch"
USES_ALPHA = True
OBJECTIVE = True
ON_ONE_RANK = "sid-streamed"
NETWORKS = PIPELINES  # a cascade's trunk waits for all modules

# Long enough that filling the pipeline at the start and draining it at the end are a small part of it.
_BATCHES = 100


def on_ranks(network: "BeliefNetwork") -> "RankShare":
    """:func:`sid_core.pipelined_steps`."""
    from functools import partial

    from bench.train.ranks.bounds import pipelined_bound
    from bench.train.ranks.share import RankShare
    from sid_core import pipelined_steps, rank_part

    part = rank_part(network)
    train = partial(pipelined_steps, part)
    owners = [rank for rank, size in enumerate(part.sizes) for _ in range(size)]
    bound = partial(pipelined_bound, owners=owners, batches=_BATCHES)
    return RankShare(part.network, part.network, part.first + 1, list(part.sizes), train, bound, _BATCHES)
