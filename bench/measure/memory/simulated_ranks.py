"""Ranks whose process groups exchange nothing, so that one process runs the step of each of them, one after the other.

What a step allocates depends on the sizes of what it receives, and not on the contents. The sizes that a rank learns
from the rank before it are passed on from one simulated rank to the next.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import distributed_c10d
from torch.testing._internal.distributed.fake_pg import FakeStore  # also makes the backend "fake" known

from bench.errors import BenchError
from sid_core import RankPart


class _Message:
    """What gloo returns for a message that is under way: it holds the tensor for as long as it exists itself."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def wait(self) -> bool:
        """Returns at once."""
        return True


class SimulatedRanks:
    """The ranks of one job.

    Args:
        ranks: how many there are.
    """

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._numbers: defaultdict[tuple[int, int], deque[list[int]]] = defaultdict(deque)  # by sender and receiver

    @contextmanager
    def enter(self, rank: int) -> Iterator[None]:
        """Makes this process ``rank`` of the job while the context lasts; enter the ranks in order.

        Raises:
            BenchError: the rank asks for what a later one sends.
        """
        dist.init_process_group("fake", rank=rank, world_size=self._ranks, store=FakeStore())
        try:
            with ExitStack() as stack:
                for module in (dist, distributed_c10d):  # the second checks that messages use its own functions
                    for name in ("isend", "irecv"):
                        stack.enter_context(patch.object(module, name, _begin))
                for name in ("send", "recv", "all_reduce", "broadcast"):
                    stack.enter_context(patch.object(dist, name, _exchange_nothing))
                stack.enter_context(patch.object(dist, "all_gather_object", _gather_own))
                stack.enter_context(patch.object(RankPart, "send_numbers", self._send_numbers))
                stack.enter_context(patch.object(RankPart, "receive_numbers", self._receive_numbers))
                yield
        finally:
            dist.destroy_process_group()

    def _send_numbers(self, numbers: list[int], rank: int, _device: torch.device) -> None:
        self._numbers[dist.get_rank(), rank].append(numbers)

    def _receive_numbers(self, _count: int, rank: int, _device: torch.device) -> list[int]:
        sent = self._numbers[rank, dist.get_rank()]
        if not sent:
            raise BenchError(f"rank {dist.get_rank()} needs sizes from rank {rank}, which comes after it in a plan")
        return sent.popleft()


def _begin(tensor: Tensor, *_arguments: Any, **_options: Any) -> _Message:
    return _Message(tensor)


def _exchange_nothing(tensor: Tensor, *_arguments: Any, async_op: bool = False, **_options: Any) -> _Message | None:
    return _Message(tensor) if async_op else None


def _gather_own(gathered: list[Any], own: Any, *_arguments: Any, **_options: Any) -> None:
    gathered[:] = [own] * len(gathered)
