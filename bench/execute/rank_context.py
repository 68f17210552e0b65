"""A rank's own side of a cell: which one it is, its share of the machine, and how it meets the others."""

import datetime
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_RENDEZVOUS_SECONDS = 60.0
# What gloo says when another rank is gone, or silent for too long.
_LOST = ("connection closed", "connection reset", "broken pipe", "timed out", "gloo")


@dataclass(frozen=True)
class Seat:
    """Where a process sits among the ranks of its cell.

    Attributes:
        rank: from 0.
        ranks: how many there are.
        listener: a listening socket on localhost, rank 0's for the rendezvous.
        patience_seconds: how long a rank waits for another before it gives up.
        control_seconds: how long a rank waits while rank 0 computes alone.
    """

    rank: int
    ranks: int
    listener: socket.socket
    patience_seconds: float
    control_seconds: float

    def threads(self) -> int:
        """An even share of the CPUs that this process may use, as a number of threads."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cpus // self.ranks)

    def bind_to_share(self, cpus: Sequence[int] | None) -> Sequence[int] | None:
        """Binds this process to its share of ``cpus``, or leaves it where there are none, or fewer than ranks."""
        share = len(cpus) // self.ranks if cpus is not None else 0
        if cpus is None or share == 0:
            return cpus
        own = cpus[self.rank * share : (self.rank + 1) * share]
        os.sched_setaffinity(0, own)
        return own

    def join(self, device: str) -> Any:
        """Meets the other ranks: afterwards ``torch.distributed`` is initialised.

        Args:
            device: ``cpu`` (gloo), or ``cuda`` (NCCL), where each rank has chosen its GPU.

        Returns:
            A second process group, over gloo, for waiting as long as rank 0 computes alone: in it a rank sleeps.
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


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` tells of another rank that is gone or silent, rather than of this one."""
    import torch.distributed as dist

    from sid_core import RankLostError

    if isinstance(error, RankLostError | dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _LOST)
