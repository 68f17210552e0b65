"""Backpropagation through a pipeline network on several ranks, by the schedules of ``torch.distributed.pipelining``.

The modules are assigned to pipeline stages in order, and the stages to ranks. A stage takes belief and features of the
one before, the first the images; what crosses between stages carries gradients. A batch goes through in micro-batches,
whose gradients add up to those of the whole batch; at the end of a step no rank has work left.
"""

from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import get_schedule_class

from bench.config.schedules import SCHEDULES
from bench.train.ranks.bounds import busy_bound, flushed_bound
from bench.train.ranks.share import RankShare, batch_by_batch
from sid_core import BeliefNetwork
from sid_core.phases import enter
from sid_core.ranks.partition import even_sizes


class _ContiguousGradient(torch.autograd.Function):
    """The identity, whose gradient can be sent: that of one part of a concatenation is a view with gaps."""

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


class _ModulesInARow(nn.Module):
    """Modules ``start`` to ``end`` of ``network``, end to end with gradients."""

    def __init__(self, network: BeliefNetwork, start: int, end: int) -> None:
        super().__init__()
        self.local_modules = nn.ModuleList(list(network.local_modules)[start:end])
        self.is_first = start == 0
        self.is_last = end == len(network.local_modules)
        self._network = (network,)  # in a tuple, for its other modules are not this one's

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images, or belief and features, to belief and features, or the last logits."""
        (network,) = self._network
        if self.is_first:
            (features,) = inputs
            belief = network.initial_belief(features)
        else:
            belief, features = map(_ContiguousGradient.apply, inputs)
        last = len(self.local_modules) - 1
        for index, module in enumerate(self.local_modules):
            logits, features = network.run_module(module, belief, features)
            if not (self.is_last and index == last):
                belief = logits.softmax(dim=1)
        return logits if self.is_last else (belief, features.contiguous())  # it is sent as it lies


class _Stage(PipelineStage):
    """A stage that tells when it computes forward and backward; in between the schedule waits for other ranks."""

    def __init__(self, *args: Any, module: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._module = module

    def forward_one_chunk(self, *args: Any, **options: Any) -> Any:
        enter("forward", self._module)
        result = super().forward_one_chunk(*args, **options)
        enter("wait")
        return result

    def backward_one_chunk(self, *args: Any, **options: Any) -> None:
        enter("backward", self._module)
        super().backward_one_chunk(*args, **options)
        enter("wait")

    def backward_weight_one_chunk(self, *args: Any, **options: Any) -> None:
        enter("backward", self._module)
        super().backward_weight_one_chunk(*args, **options)
        enter("wait")


class _Schedule(nn.Module):
    """This rank's stages of ``network``, and the schedule by which all ranks run them. ``torch.distributed`` is up."""

    def __init__(self, network: BeliefNetwork, name: str, micro_batches: int) -> None:
        super().__init__()
        rank, ranks = dist.get_rank(), dist.get_world_size()
        owners = _owners(name, ranks)
        sizes = even_sizes(len(network.local_modules), len(owners))
        self.trunk = nn.Identity()
        self.owners = [owner for size, owner in zip(sizes, owners, strict=True) for _ in range(size)]
        self._bounds = list(pairwise(accumulate(sizes, initial=0)))
        self._own = [index for index, owner in enumerate(owners) if owner == rank]
        self.stages = nn.ModuleList(_ModulesInARow(network, *self._bounds[index]) for index in self._own)
        self._network = (network,)  # in a tuple, for other ranks' modules are not this one's
        self._name = name
        self._micro_batches = micro_batches
        self._schedule: Any = None
        self._has_first, self._has_last = 0 in self._own, len(sizes) - 1 in self._own

    def _begin(self, images: Tensor) -> Any:
        """The schedule, for batches like ``images``."""
        (network,) = self._network
        device = next(network.parameters()).device
        described = self._described(images) if dist.get_backend() == "fake" else [{}] * len(self._bounds)
        stages = [
            _Stage(module, index, len(self._bounds), device, module=self._bounds[index][0] + 1, **described[index])
            for module, index in zip(self.stages, self._own, strict=True)
        ]
        schedule: Any = get_schedule_class(self._name)
        several = SCHEDULES[self._name] > 1
        return schedule(stages if several else stages[0], self._micro_batches, loss_fn=F.cross_entropy)

    def _described(self, images: Tensor) -> list[dict[str, Any]]:
        """The tensors that each stage takes and gives, where a rank cannot learn them: nothing is sent in a plan."""
        (network,) = self._network
        inputs: tuple[Tensor, ...] = (images[: len(images) // self._micro_batches],)
        described = []
        for start, end in self._bounds:
            outputs = _ModulesInARow(network, start, end)(*inputs)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            described.append({"input_args": inputs, "output_args": outputs})
            inputs = tuple(output.detach().requires_grad_() for output in outputs)
        return described

    def accumulate_gradients(self, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
        """One batch through the schedule; gradients of the mean loss, which is NaN where the last stage is not."""
        losses: list[Tensor] = []
        if self._schedule is None:
            self._schedule = self._begin(images)
        enter("wait")
        self._schedule.step(
            *([images] if self._has_first else []),
            target=labels if self._has_last else None,
            losses=losses,
            return_outputs=False,
        )
        return torch.stack(losses).mean().detach() if losses else torch.full((), torch.nan)


def scheduled_share(network: BeliefNetwork, *, schedule: str, micro_batches: int) -> RankShare:
    """What this rank does of BP's step on ``network``, a pipeline of at least as many modules as there are stages.

    A batch is cut into ``micro_batches``, a multiple of the number of ranks; its size is a multiple of them.
    """
    scheduled = _Schedule(network, schedule, micro_batches)
    owners, ranks = scheduled.owners, dist.get_world_size()
    bound = (
        partial(busy_bound, owners=owners)
        if SCHEDULES[schedule] > 1
        else partial(flushed_bound, owners=owners, micro_batches=micro_batches)
    )
    modules_by_rank = [owners.count(rank) for rank in range(ranks)]
    train = batch_by_batch(scheduled.accumulate_gradients)
    return RankShare(scheduled, network, 1, modules_by_rank, train, bound)


def _owners(name: str, ranks: int) -> list[int]:
    """The rank of each stage: in turns, or (ZBV) there and back again."""
    forth = list(range(ranks))
    if name == "ZBVZeroBubble":
        return [*forth, *reversed(forth)]
    return forth * SCHEDULES[name]
