"""One rank of a cell: which one it is, its share of the machine, and its connection to the others."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.execute.messages import Limits

_LONGEST_PATIENCE_SECONDS = 300.0
_RENDEZVOUS_SECONDS = 60.0


class Rendezvous(Protocol):
    """How the processes of the ranks find each other."""

    def open_store(self, rank: int, ranks: int, timeout: datetime.timedelta) -> Any:
        """Connects this process to the store of all ranks, a ``torch.distributed.Store``.

        It also chooses the network interface for gloo, unless ``GLOO_SOCKET_IFNAME`` has done so.

        Raises:
            torch.distributed.DistError: the store has not answered in time.
        """


@dataclass(frozen=True)
class RankContext:
    """What a process needs to know as one of the ranks of its cell.

    Attributes:
        rank: from 0.
        ranks: the number of ranks.
        local_rank: the rank among those of this host, from 0.
        local_ranks: how many ranks this host has.
        device: the number of this rank's GPU among those that it sees.
        devices: how many GPUs it has to see.
        rendezvous: how the ranks find each other.
        patience_seconds: how long a rank waits for another before it fails.
        control_seconds: how long a rank waits while rank 0 computes alone.
    """

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int
    device: int
    devices: int
    rendezvous: Rendezvous
    patience_seconds: float
    control_seconds: float

    def threads(self) -> int:
        """The number of threads that is an even share of the CPUs that this process may use; at least 1."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus // self.local_ranks)

    def bind_to_share(self, cpus: Sequence[int] | None) -> Sequence[int] | None:
        """Binds this process to its share of ``cpus`` and returns the share.

        Where ``cpus`` is None or has fewer CPUs than there are ranks on this host, nothing is bound and ``cpus`` is
        returned.
        """
        share = len(cpus) // self.local_ranks if cpus is not None else 0
        if cpus is None or share == 0:
            return cpus
        own = cpus[self.local_rank * share : (self.local_rank + 1) * share]
        os.sched_setaffinity(0, own)
        return own

    def join(self, device: str) -> Any:
        """Connects this rank to the others and initialises ``torch.distributed``.

        Args:
            device: ``cpu`` (gloo), or ``cuda`` (NCCL), where each rank has chosen its GPU.

        Returns:
            A second process group, over gloo, in which a rank sleeps while rank 0 computes alone.

        Raises:
            torch.distributed.DistError: another rank has not connected in time.
        """
        import torch.distributed as dist

        timeout = datetime.timedelta(seconds=min(_RENDEZVOUS_SECONDS, self.patience_seconds))
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            store=self.rendezvous.open_store(self.rank, self.ranks, timeout),
            rank=self.rank,
            world_size=self.ranks,
            timeout=datetime.timedelta(seconds=self.patience_seconds),
        )
        return dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=self.control_seconds))


def patience_of(limits: Limits) -> float:
    """How many seconds a rank waits for another: half of the time-out of the cell, and five minutes at most."""
    return min(_LONGEST_PATIENCE_SECONDS, limits.timeout_seconds / 2)
