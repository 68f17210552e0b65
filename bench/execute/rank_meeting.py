"""How the processes of one cell, one on each rank of a job, find each other: in the store of the job."""

import datetime
import os
from dataclasses import dataclass
from typing import Any

from bench.execute.messages import Limits, Place
from bench.execute.network import INTERFACE, interface_towards
from bench.execute.rank_context import RankContext, patience_of


@dataclass(frozen=True)
class _InStore:
    """The ranks meet in the store of the job, under a name of their own.

    Attributes:
        place: of this rank.
    """

    place: Place

    def open_store(self, rank: int, ranks: int, timeout: datetime.timedelta) -> Any:
        """See :class:`bench.execute.rank_context.Rendezvous`; the store is that of the job, so no rank runs another."""
        from torch._C._distributed_c10d import PrefixStore, TCPStore

        del rank
        address, port = self.place.address, self.place.port
        interface = interface_towards(address, port)
        if interface is not None:
            os.environ.setdefault(INTERFACE, interface)
        store = TCPStore(address, port, ranks, is_master=False, timeout=timeout, wait_for_workers=False)
        return PrefixStore(self.place.meeting, store)


def context_at(place: Place, limits: Limits) -> RankContext:
    """The context of a process that is the rank ``place`` of its cell."""
    return RankContext(
        rank=place.rank,
        ranks=place.ranks,
        local_rank=place.local_rank,
        local_ranks=place.local_ranks,
        device=place.device,
        devices=place.devices,
        rendezvous=_InStore(place),
        patience_seconds=patience_of(limits),
        control_seconds=limits.timeout_seconds,
    )
