"""One rank of a cell: which one it is, its share of the machine, and its connection to the others."""

import datetime
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_RENDEZVOUS_SECONDS = 60.0


@dataclass(frozen=True)
class RankContext:
    """What a process needs to know as one of the ranks of its cell.

    Attributes:
        rank: from 0.
        ranks: the number of ranks.
        listener: a listening socket on localhost, which rank 0 uses for the rendezvous.
        patience_seconds: how long a rank waits for another before it fails.
        control_seconds: how long a rank waits while rank 0 computes alone.
    """

    rank: int
    ranks: int
    listener: socket.socket
    patience_seconds: float
    control_seconds: float

    def threads(self) -> int:
        """The number of threads that is an even share of the CPUs that this process may use; at least 1."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus // self.ranks)

    def bind_to_share(self, cpus: Sequence[int] | None) -> Sequence[int] | None:
        """Binds this process to its share of ``cpus`` and returns the share.

        Where ``cpus`` is None or has fewer CPUs than there are ranks, nothing is bound and ``cpus`` is returned.
        """
        share = len(cpus) // self.ranks if cpus is not None else 0
        if cpus is None or share == 0:
            return cpus
        own = cpus[self.rank * share : (self.rank + 1) * share]
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
        from torch._C._distributed_c10d import TCPStore

        # All ranks are on this machine, whatever its name resolves to.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        port = self.listener.getsockname()[1]
        store = TCPStore(
            "127.0.0.1",
            port,
            self.ranks,
            is_master=self.rank == 0,
            timeout=datetime.timedelta(seconds=min(_RENDEZVOUS_SECONDS, self.patience_seconds)),
            master_listen_fd=self.listener.detach() if self.rank == 0 else None,
        )
        dist.init_process_group(
            "gloo" if device == "cpu" else "nccl",
            store=store,
            rank=self.rank,
            world_size=self.ranks,
            timeout=datetime.timedelta(seconds=self.patience_seconds),
        )
        return dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=self.control_seconds))
