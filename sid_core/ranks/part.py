"""A network over the ranks of a ``torch.distributed`` job: each rank holds the trunk and its own modules.

Start the job with ``torchrun`` and ``torch.distributed.init_process_group``, build the same network on every rank, and
take this rank's part of it with :func:`rank_part`. Then :func:`sid_core.parallel_step` trains a cascade, and
:func:`sid_core.pipelined_steps` a pipeline.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from sid_core.network import BeliefNetwork, Cascade
from sid_core.objective import Objective
from sid_core.ranks.partition import even_sizes, fastest_sizes, module_cost
from sid_core.steps.chain import BeliefChain, belief_chain


class RankLostError(RuntimeError):
    """Another rank of the job has ended, or has not answered within the timeout of the process group."""


@dataclass(frozen=True)
class RankPart:
    """The part of a network that one rank holds.

    Attributes:
        network: the trunk and this rank's modules; pass its parameters to an optimizer.
        rank: of this process in ``group``, from 0.
        sizes: the number of modules of each rank, in order.
        group: the process group; None for the default one.
    """

    network: BeliefNetwork
    rank: int
    sizes: tuple[int, ...]
    group: dist.ProcessGroup | None

    @property
    def ranks(self) -> int:
        """The number of ranks."""
        return len(self.sizes)

    @property
    def first(self) -> int:
        """The number of modules on the ranks before this one."""
        return sum(self.sizes[: self.rank])

    def global_rank(self, rank: int) -> int:
        """The number in the whole job of ``rank`` in ``group``."""
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    @property
    def modules(self) -> int:
        """The number of modules of the whole network."""
        return sum(self.sizes)

    def own_chain(
        self,
        features: Tensor,
        logits: Tensor | None,
        labels: Tensor,
        objective: Objective,
        *,
        carried: Tensor | None = None,
        is_carried_on: bool = False,
    ) -> BeliefChain:
        """The chain of this rank's modules; the losses of all ranks add up to that of the step.

        Args:
            features: of the trunk, ``[B, ...]``.
            logits: of the last module of the rank before, ``[B, C]``; None on the first rank, which starts from
                ``p_0``.
            labels: ``[B]``.
            objective: for the whole network.
            carried: see :func:`sid_core.steps.chain.belief_chain`, and so for ``is_carried_on``.
            is_carried_on: the next rank goes on from the terms of this one.
        """
        log_belief = None if logits is None else torch.log_softmax(logits, 1)
        return belief_chain(
            self.network.initial_belief(features) if log_belief is None else log_belief.exp(),
            labels,
            objective,
            self.modules,
            own=slice(self.first, self.first + self.sizes[self.rank]),
            initial_log_belief=log_belief,
            carried=carried,
            is_carried_on=is_carried_on,
        )

    def begin_send(self, tensor: Tensor, rank: int) -> dist.Work:
        """Starts to send ``tensor``, contiguous, to ``rank``; wait for the result before changing ``tensor``."""
        return _begun(dist.isend(tensor, self.global_rank(rank), group=self.group))

    def begin_receive(self, buffer: Tensor, rank: int) -> dist.Work:
        """Starts to receive what ``rank`` sends into ``buffer``."""
        return _begun(dist.irecv(buffer, self.global_rank(rank), group=self.group))

    def send_numbers(self, numbers: list[int], rank: int, device: torch.device) -> None:
        """Sends integers to ``rank`` by way of ``device``, and waits until they have gone."""
        dist.send(torch.tensor(numbers, device=device), self.global_rank(rank), group=self.group)

    def receive_numbers(self, count: int, rank: int, device: torch.device) -> list[int]:
        """Waits for ``count`` integers that ``rank`` sends."""
        numbers = torch.empty(count, dtype=torch.int64, device=device)
        dist.recv(numbers, self.global_rank(rank), group=self.group)
        received: list[int] = numbers.tolist()
        return received

    @contextmanager
    def communicating(self, when: str) -> Iterator[None]:
        """Turns a failure to reach another rank into a clear error, which says ``when`` it happened.

        Raises:
            RankLostError: a ``torch.distributed`` call inside failed.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise RankLostError(f"rank {self.rank} of {self.ranks} lost another rank {when}: {reason}") from error


def rank_part(
    network: BeliefNetwork, sizes: Sequence[int] | None = None, group: dist.ProcessGroup | None = None
) -> RankPart:
    """Returns this rank's part of ``network``. All ranks must call it.

    The modules are partitioned in order, and every rank has the trunk, with the parameters and buffers of rank 0. The
    part has the modules of ``network`` itself, not copies; drop ``network`` to free the modules of other ranks.

    Args:
        network: the same on every rank.
        sizes: the number of modules of each rank, in order. By default a cascade is partitioned for the shortest step
            (:func:`sid_core.fastest_sizes`), and a pipeline evenly.
        group: the process group; None for the default one.

    Raises:
        RuntimeError: ``torch.distributed`` is not initialised.
        ValueError: there are more ranks than modules; ``sizes`` does not have one or more modules per rank and all of
            them together, or differs between ranks; modules, or a module and the trunk, share a parameter, so that no
            rank would have its whole gradient; or the trunk draws random numbers, which would differ between ranks.
        RankLostError: another rank has ended.
    """
    if not dist.is_initialized():
        raise RuntimeError(
            "torch.distributed is not initialised; start the job with torchrun and call init_process_group first"
        )
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    modules = list(network.local_modules)
    if ranks > len(modules):
        raise ValueError(f"the job has {ranks} ranks; legal: 1 to {len(modules)}, the number of modules")
    sizes = _default_sizes(network, ranks) if sizes is None else tuple(sizes)
    is_legal = all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in sizes)
    if not is_legal or len(sizes) != ranks or sum(sizes) != len(modules):
        raise ValueError(
            f"sizes = {list(sizes)}; legal: {ranks} integers of 1 or more, one per rank, {len(modules)} in all"
        )
    _check_parts(network)
    first = sum(sizes[:rank])
    own = copy.copy(network)
    own._modules = dict(network._modules)  # a shallow copy of a module shares the dictionary of its submodules
    own.local_modules = nn.ModuleList(modules[first : first + sizes[rank]])
    part = RankPart(own, rank, sizes, group)
    with part.communicating("while the network was partitioned"):
        sizes_by_rank: list[object] = [None] * ranks
        dist.all_gather_object(sizes_by_rank, sizes, group=group)
        if any(theirs != sizes for theirs in sizes_by_rank):
            raise ValueError(f"ranks do not agree on sizes: {sizes_by_rank}; legal: the same on every rank")
        _broadcast(part, network.trunk, 0)
    return part


def gather_parameters(part: RankPart, network: BeliefNetwork) -> None:
    """Writes the parameters and buffers of all ranks into the whole ``network``. All ranks must call it.

    Raises:
        ValueError: ``network`` does not have the number of modules of the whole network.
        RankLostError: another rank has ended.
    """
    modules = list(network.local_modules)
    if len(modules) != part.modules:
        raise ValueError(f"network has {len(modules)} modules; legal: {part.modules}")
    own = iter(part.network.local_modules)
    owners = [rank for rank, size in enumerate(part.sizes) for _ in range(size)]
    network.trunk.load_state_dict(part.network.trunk.state_dict())
    with part.communicating("while parameters were gathered"):
        for module, owner in zip(modules, owners, strict=True):
            if owner == part.rank:
                module.load_state_dict(next(own).state_dict())
            _broadcast(part, module, owner)


def _begun(work: dist.Work | None) -> dist.Work:
    if work is None:  # torch returns None in a process that is not in the group
        raise ValueError("this process is not a rank of the process group of the part")
    return work


def _default_sizes(network: BeliefNetwork, ranks: int) -> tuple[int, ...]:
    if isinstance(network, Cascade):
        return fastest_sizes([module_cost(module, network.classes) for module in network.local_modules], ranks)
    return even_sizes(len(network.local_modules), ranks)


def _check_parts(network: BeliefNetwork) -> None:
    seen: set[int] = set()
    for part in (network.trunk, *network.local_modules):
        own = {id(parameter) for parameter in part.parameters()}
        if own & seen:
            raise ValueError(
                "modules, or a module and the trunk, share a parameter; legal: parameters of one of them each"
            )
        seen |= own
    for layer in network.trunk.modules():
        if isinstance(layer, _DropoutNd) and layer.p > 0:
            raise ValueError(f"the trunk has a {type(layer).__name__}; legal: trunks that draw no random numbers")


@torch.no_grad()
def _broadcast(part: RankPart, module: nn.Module, owner: int) -> None:
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    for tensor in tensors:
        message = tensor.detach().contiguous()  # broadcast sends memory in the order in which it lies
        dist.broadcast(message, part.global_rank(owner), group=part.group)
        if message.data_ptr() != tensor.data_ptr():
            tensor.copy_(message)
