"""SID over several ranks: what one rank does."""

from functools import partial

from bench.train.ranks.bounds import parallel_bound, pipelined_bound
from bench.train.ranks.share import RankShare, batch_by_batch
from sid_core import BeliefNetwork, gather_parameters, parallel_step, pipelined_steps, rank_part

# Long enough that filling the pipeline at the start and draining it at the end are a small part of it.
_BATCHES = 100


def parallel_share(network: BeliefNetwork) -> RankShare:
    """The modules of a cascade on several ranks, backward at the same time: :func:`sid_core.parallel_step`."""
    part = rank_part(network)
    train = batch_by_batch(partial(parallel_step, part))
    bound = partial(parallel_bound, sizes=part.sizes)
    gather = partial(gather_parameters, part)
    return RankShare(part.network, part.network, part.first + 1, list(part.sizes), train, bound, gather=gather)


def pipelined_share(network: BeliefNetwork) -> RankShare:
    """The stages of a pipeline on several ranks, each of which takes the next batch at once.

    See :func:`sid_core.pipelined_steps`.
    """
    part = rank_part(network)
    train = partial(pipelined_steps, part)
    owners = [rank for rank, size in enumerate(part.sizes) for _ in range(size)]
    bound = partial(pipelined_bound, owners=owners, batches=_BATCHES)
    return RankShare(
        *(part.network, part.network, part.first + 1, list(part.sizes), train, bound, _BATCHES),
        train_exactly=partial(pipelined_steps, part, exact_loss=True),
        gather=partial(gather_parameters, part),
    )
