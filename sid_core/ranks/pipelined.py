"""The SID steps of a pipeline over ranks: a rank updates its stages and goes on to the next batch.

The update of a rank needs nothing from later ranks, and what a rank sends was computed with the weights that a
sequential run would have used. So the weights are those of a sequential run, and ranks are idle only until their first
batch arrives. A rank sends features and logits before the backward pass of its last stage, and then begins the next
batch. Ranks before a slow one wait for it, so that batches between them do not pile up.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Unpack

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from sid_core.network import Cascade, check_sizes
from sid_core.objective import Alpha, Direction, Objective, ObjectiveOptions, objective_of
from sid_core.phases import enter, phase
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
    exact_loss: bool = False,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """Trains a pipeline on ``batches``, one step per batch; the weights are those of the same steps on one rank.

    All ranks call it with the same arguments except ``part`` and ``optimizer``.

    Args:
        part: this rank's part of a pipeline; see :func:`sid_core.rank_part`.
        batches: ``(images [B, ...], labels [B])``, the same batches in the same order on every rank. Images are read on
            the first rank only, and must have one shape except for B; on other ranks they may be None.
        objective: an :class:`sid_core.Objective`, or alpha, for the whole network.
        optimizer: of this rank's parameters; required. Gradients are freed before each batch.
        queue: how many batches may be on their way to the next rank, 1 or more.
        exact_loss: the losses are those of one rank to the last bit. Each rank then also sends what it has added up of
            them, ``[B, C]``; otherwise the ranks add up their parts at the end, in another order than one rank does.
        **options: as for :func:`sid_core.published_step`.

    Returns:
        The loss of each step over all stages, the same on all ranks, in nats, ``[batches]``; empty without batches.

    Raises:
        TypeError: ``optimizer`` is missing.
        ValueError: ``part`` is of a network with a trunk, which waits for every module; the objective or ``queue`` is
            not legal; there is not one int64 label per image; or features cannot be sent, see :meth:`_Outbox.put`.
        RankLostError: another rank has ended, or has not answered within the timeout of the process group.
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
    check_sizes(queue=queue)
    outbox = _Outbox(part, queue)
    is_last = part.rank == part.ranks - 1
    carries = objective.direction if exact_loss else None
    losses: list[Tensor] = []
    for (features, logits, carried), labels in _incoming(part, batches, carries):
        with phase("optimizer"):
            optimizer.zero_grad()
        enter("forward")
        with torch.no_grad():
            chain = part.own_chain(features, logits, labels, objective, carried=carried, is_carried_on=exact_loss)
            last = part.first + len(network.local_modules)
            for number, module in enumerate(network.local_modules, part.first + 1):
                enter("forward", number)
                with torch.enable_grad():
                    logits, features = network.run_module(module, chain.belief, features)
                features = network.hand_on(features)
                gradient = chain.advance(logits.detach())
                if number == last:
                    outbox.put(features, logits.detach(), chain.terms if exact_loss else None)
                enter("backward", number)
                if logits.requires_grad:
                    logits.backward(gradient)
            losses.append(chain.loss if is_last or not exact_loss else torch.zeros_like(chain.loss))
            del chain, features, logits, carried, gradient
        enter("optimizer")
        optimizer.step()
        torch.clear_autocast_cache()  # or the next batch would run with narrow copies of the old weights
    outbox.wait()
    total = torch.stack(losses) if losses else torch.zeros(0)
    if losses:
        with phase("wait"), part.communicating("while losses were added up"):
            dist.all_reduce(total, group=part.group)
    enter("forward")
    return total


class _Received(NamedTuple):
    """What a rank begins a batch with.

    Attributes:
        features: ``[B, ...]``; images on the first rank.
        logits: of the rank before, ``[B, C]``; None on the first rank.
        carried: what the rank before has added up of the loss; None on the first rank, and where that is not sent.
    """

    features: Tensor
    logits: Tensor | None = None
    carried: Tensor | None = None


def _incoming(
    part: RankPart, batches: Iterable[tuple[Tensor, Tensor]], carries: Direction | None
) -> Iterator[tuple[_Received, Tensor]]:
    """Yields what each batch begins with on this rank, and its labels.

    Receiving of a batch begins before the batch before it is yielded. ``carries`` is the direction of the objective
    whose terms are received, too; None: they are not.
    """
    if part.rank == 0:
        for images, labels in batches:
            yield _Received(images), labels
        return
    inbox = _Inbox(part, carries)
    waiting: Tensor | None = None
    for _, labels in batches:
        inbox.begin_receive(labels)
        if waiting is not None:
            yield inbox.take(), waiting
        waiting = labels
    if waiting is not None:
        yield inbox.take(), waiting


class _Inbox:
    """What the rank before sends: a header with the shape and the dtypes of all batches, then batch after batch."""

    def __init__(self, part: RankPart, carries: Direction | None) -> None:
        self._part = part
        self._carries = carries
        self._pending: deque[tuple[list[Tensor], list[dist.Work]]] = deque()
        self._layout: tuple[list[int], list[torch.dtype]] | None = None

    def begin_receive(self, labels: Tensor) -> None:
        """Starts to receive the batch of ``labels``."""
        with self._part.communicating("before features came"):
            if self._layout is None:
                with phase("wait"):
                    self._layout = self._receive_header(labels.device)
            feature_shape, (dtype, logits_dtype) = self._layout
            logits_shape = [len(labels), self._part.network.classes]
            layouts = [([len(labels), *feature_shape], dtype), (logits_shape, logits_dtype)]
            if self._carries is not None:
                layouts.append(([] if self._carries == "reverse" else logits_shape, logits_dtype))
            buffers = [torch.empty(shape, dtype=dtype, device=labels.device) for shape, dtype in layouts]
            works = [self._part.begin_receive(buffer, self._part.rank - 1) for buffer in buffers]
        self._pending.append((buffers, works))

    def take(self) -> _Received:
        """Waits for the earliest batch that was not taken, and returns it."""
        buffers, works = self._pending.popleft()
        with phase("wait"), self._part.communicating("before features came"):
            for work in works:
                work.wait()
        return _Received(*buffers)

    def _receive_header(self, device: torch.device) -> tuple[list[int], list[torch.dtype]]:
        """The shape of a sample's features, and the dtypes of features and logits."""
        header = self._part.receive_numbers(3 + _MOST_DIMENSIONS, self._part.rank - 1, device)
        code, logits_code, dimensions, *sizes = header
        return sizes[:dimensions], [_DTYPES[code], _DTYPES[logits_code]]


class _Outbox:
    """What this rank sends to the next: at most ``queue`` batches at a time. The last rank sends nothing."""

    def __init__(self, part: RankPart, queue: int) -> None:
        self._part = part
        self._queue = queue
        self._pending: deque[tuple[list[Tensor], list[dist.Work]]] = deque()
        self._shape: torch.Size | None = None

    def put(self, features: Tensor, logits: Tensor, terms: Tensor | None) -> None:
        """Starts to send a batch, with the terms of its loss so far if there are any; waits first for a full queue.

        Raises:
            ValueError: the features of a sample do not have the shape that they had in the first batch, or have a
                shape or dtype that cannot be sent.
        """
        if self._part.rank == self._part.ranks - 1:
            return
        with phase("wait"), self._part.communicating("to which it sent features"):
            if self._shape is None:
                self._send_header(features, logits)
            elif features.shape[1:] != self._shape:
                raise ValueError(
                    f"features of a sample have shape {list(features.shape[1:])}; legal: {list(self._shape)}, that of "
                    "the first batch"
                )
            self._wait_for_all_but(self._queue - 1)
            tensors = [tensor.contiguous() for tensor in (features, logits, terms) if tensor is not None]
            works = [self._part.begin_send(tensor, self._part.rank + 1) for tensor in tensors]
        self._pending.append((tensors, works))

    def wait(self) -> None:
        """Waits until the next rank has received everything."""
        with phase("wait"), self._part.communicating("to which it sent features"):
            self._wait_for_all_but(0)

    def _send_header(self, features: Tensor, logits: Tensor) -> None:
        self._shape = features.shape[1:]
        if features.dtype not in _DTYPES or len(self._shape) > _MOST_DIMENSIONS:
            raise ValueError(
                f"features have dtype {features.dtype} and {features.dim()} dimensions; legal: {list(_DTYPES)}, "
                f"{_MOST_DIMENSIONS + 1} or fewer"
            )
        sizes = [*self._shape, *[0] * (_MOST_DIMENSIONS - len(self._shape))]
        codes = [_DTYPES.index(tensor.dtype) for tensor in (features, logits)]
        self._part.send_numbers([*codes, len(self._shape), *sizes], self._part.rank + 1, features.device)

    def _wait_for_all_but(self, count: int) -> None:
        while len(self._pending) > count:
            for work in self._pending.popleft()[1]:
                work.wait()
