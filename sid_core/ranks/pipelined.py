"""SID on a pipeline over ranks, batch after batch: a rank updates its stages and waits for no one after it.

A rank's update needs nothing from later ranks, and what it hands on was computed with the weights that a sequential run
would have used. So the schedule is exact: no bubble but the first fill, no stale weights. Features and logits are
handed on before the rank's own last backward pass, and the next batch is begun at once. A rank that is slow holds the
ones before it up, rather than letting what they hand on pile up.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Unpack

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from sid_core.network import Cascade
from sid_core.objective import Alpha, Objective, ObjectiveOptions, objective_of
from sid_core.phases import enter
from sid_core.ranks.part import RankPart

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_MOST_DIMENSIONS = 8


def pipelined_steps(
    part: RankPart,
    batches: Iterable[tuple[Tensor, Tensor]],
    objective: Objective | Alpha | None = None,
    optimizer: Optimizer | None = None,
    *,
    queue: int = 2,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """Trains a pipeline on ``batches``, one step each: the weights are those of the same steps one after the other.

    Every rank calls it with the same arguments but ``part`` and ``optimizer``.

    Args:
        part: this rank's part of a pipeline, see :func:`sid_core.rank_part`.
        batches: ``(images [B, ...], labels [B])``, the same batches in the same order on every rank. Images are read on
            the first rank only, where they must have one shape but for B; elsewhere they may be None.
        objective: an :class:`sid_core.Objective`, or alpha, for the whole network.
        optimizer: of this rank's parameters; required. Gradients are freed before each batch.
        queue: how many batches' features and logits may wait to be taken by the next rank, 1 or more.
        **options: as for :func:`sid_core.published_step`.

    Returns:
        The loss of each step over all stages, the same on all ranks, in nats, ``[batches]``; empty without batches.

    Raises:
        TypeError: ``optimizer`` is missing.
        ValueError: ``part`` is of a network with a trunk, which waits for every module; the objective or ``queue`` is
            not legal; or there is not one int64 label per image.
        RankLostError: another rank has ended, or has not answered within the process group's timeout.
    """
    if optimizer is None:  # optional in the signature, so that alpha can be a keyword
        raise TypeError("pipelined_steps() missing 1 required argument: 'optimizer'")
    network = part.network
    if isinstance(network, Cascade):
        raise ValueError(
            "part is of a Cascade, whose trunk waits for every module; legal for pipelined_steps: a Pipeline"
        )
    if type(network.trunk) is not nn.Identity:
        raise ValueError(
            f"the pipeline has a {type(network.trunk).__name__} for a trunk; legal for pipelined_steps: nn.Identity, "
            "with the trunk's layers in the first stage"
        )
    objective = objective_of(objective, options, part.modules)
    if isinstance(queue, bool) or not isinstance(queue, int) or queue < 1:
        raise ValueError(f"queue = {queue!r}; legal: integers of 1 or more")
    outbox = _Outbox(part, queue)
    losses: list[Tensor] = []
    for features, logits, labels in _incoming(part, batches):
        enter("optimizer")
        optimizer.zero_grad()
        enter("forward")
        with torch.no_grad():
            chain = part.own_chain(features, logits, labels, objective)
            last = part.first + len(network.local_modules)
            for number, module in enumerate(network.local_modules, part.first + 1):
                enter("forward", number)
                with torch.enable_grad():
                    logits, features = network.run_module(module, chain.belief, features)
                features = network.hand_on(features)
                gradient = chain.advance(logits.detach())
                if number == last:
                    outbox.put(features, logits.detach())
                enter("backward", number)
                if logits.requires_grad:
                    logits.backward(gradient)
            losses.append(chain.loss)
            del chain, features, logits, gradient
        enter("optimizer")
        optimizer.step()
        torch.clear_autocast_cache()  # or the next batch would run with narrow copies of the old weights
    outbox.empty()
    enter("wait")
    total = torch.stack(losses) if losses else torch.zeros(0)
    with part.talking("while losses were added up"):
        if losses:
            dist.all_reduce(total, group=part.group)
    enter("forward")
    return total


def _incoming(
    part: RankPart, batches: Iterable[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Features, logits of the rank before (None on the first) and labels of each batch; asks for one batch ahead."""
    if part.rank == 0:
        for images, labels in batches:
            yield images, None, labels
        return
    inbox = _Inbox(part)
    waiting: Tensor | None = None
    for _, labels in batches:
        inbox.ask(labels)
        if waiting is not None:
            yield *inbox.take(), waiting
        waiting = labels
    if waiting is not None:
        yield *inbox.take(), waiting


class _Inbox:
    """What the rank before hands on. Its first message says what shape and dtype the others have."""

    def __init__(self, part: RankPart) -> None:
        self._part = part
        self._pending: deque[tuple[list[Tensor], list[dist.Work]]] = deque()
        self._shape: list[int] | None = None

    def ask(self, labels: Tensor) -> None:
        """Prepares to receive the batch of ``labels``."""
        with self._part.talking("before features came"):
            if self._shape is None:
                enter("wait")
                header = torch.empty(3 + _MOST_DIMENSIONS, dtype=torch.int64, device=labels.device)
                dist.recv(header, self._part.global_rank(self._part.rank - 1), group=self._part.group)
                code, logits_code, dimensions, *sizes = header.tolist()
                self._shape = sizes[:dimensions]
                self._dtypes = _DTYPES[code], _DTYPES[logits_code]
            buffers = [
                torch.empty(len(labels), *shape, dtype=dtype, device=labels.device)
                for shape, dtype in zip((self._shape, [self._part.network.classes]), self._dtypes, strict=True)
            ]
            works = [self._part.begin_receive(buffer, self._part.rank - 1) for buffer in buffers]
        self._pending.append((buffers, works))

    def take(self) -> tuple[Tensor, Tensor]:
        """Features ``[B, ...]`` and logits ``[B, C]`` of the batch asked for first."""
        (features, logits), works = self._pending.popleft()
        enter("wait")
        with self._part.talking("before features came"):
            for work in works:
                work.wait()
        return features, logits


class _Outbox:
    """What the next rank has yet to take, for at most ``queue`` batches; on the last rank it takes nothing."""

    def __init__(self, part: RankPart, queue: int) -> None:
        self._part = part
        self._queue = queue
        self._pending: deque[tuple[list[Tensor], list[dist.Work]]] = deque()
        self._shape: torch.Size | None = None

    def put(self, features: Tensor, logits: Tensor) -> None:
        """Starts to send; waits while the queue is full.

        Raises:
            ValueError: features of a sample have another shape than in the first batch, or a shape or dtype that can't
                be sent.
        """
        if self._part.rank == self._part.ranks - 1:
            return
        if self._shape is None:
            self._send_header(features, logits)
        elif features.shape[1:] != self._shape:
            raise ValueError(
                f"features of a sample have shape {list(features.shape[1:])}; legal: {list(self._shape)}, that of the "
                "first batch"
            )
        self._make_room(self._queue - 1)
        with self._part.talking("to which it handed features on"):
            tensors = [features.contiguous(), logits.contiguous()]
            works = [self._part.begin_send(tensor, self._part.rank + 1) for tensor in tensors]
        self._pending.append((tensors, works))

    def empty(self) -> None:
        """Waits until the next rank has taken everything."""
        self._make_room(0)

    def _send_header(self, features: Tensor, logits: Tensor) -> None:
        self._shape = features.shape[1:]
        if features.dtype not in _DTYPES or len(self._shape) > _MOST_DIMENSIONS:
            raise ValueError(
                f"features have dtype {features.dtype} and {features.dim()} dimensions; legal: {list(_DTYPES)}, "
                f"{_MOST_DIMENSIONS + 1} or fewer"
            )
        sizes = [*self._shape, *[0] * (_MOST_DIMENSIONS - len(self._shape))]
        codes = [_DTYPES.index(tensor.dtype) for tensor in (features, logits)]
        header = torch.tensor([*codes, len(self._shape), *sizes], device=features.device)
        with self._part.talking("to which it handed features on"):
            dist.send(header, self._part.global_rank(self._part.rank + 1), group=self._part.group)

    def _make_room(self, left: int) -> None:
        enter("wait")
        with self._part.talking("to which it handed features on"):
            while len(self._pending) > left:
                for work in self._pending.popleft()[1]:
                    work.wait()
