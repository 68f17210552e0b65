"""Backpropagation through a pipeline network on several ranks, by the schedules of ``torch.distributed.pipelining``.

The modules are dealt to pipeline stages in order, and the stages to ranks. A stage takes belief and features of the one
before, the first the images; what crosses between stages carries gradients. A batch goes through in micro-batches,
whose gradients add up to those of the whole batch; at the end of a step every rank has drained.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.pipelining import schedules as torch_schedules

from sid_core import BeliefNetwork
from sid_core.phases import enter

# (S - 1) / (M + S - 1) of the time two ranks idle by GPipe and 1F1B: a ninth, and a micro-batch is still an eighth.
MICRO_BATCHES = 8

ScheduleName = Literal["GPipe", "1F1B", "InterleavedZeroBubble", "ZBVZeroBubble"]
_STAGES_A_RANK: dict[str, int] = {"GPipe": 1, "1F1B": 1, "InterleavedZeroBubble": 2, "ZBVZeroBubble": 2}


class _ContiguousGradient(torch.autograd.Function):
    """The identity, whose gradient can be sent: that of one part of a concatenation is a view with gaps."""

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient.contiguous()


class _ModulesInARow(nn.Module):
    """Modules ``start`` to ``end`` of ``network``, end to end with gradients."""

    def __init__(self, network: BeliefNetwork, start: int, end: int) -> None:
        super().__init__()
        modules = list(network.local_modules)
        self.local_modules = nn.ModuleList(modules[start:end])
        self.is_first = start == 0
        self.is_last = end == len(modules)
        self._run_module = network.run_module
        self._initial_belief = network.initial_belief

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images, or belief and features, to belief and features, or the last logits."""
        if self.is_first:
            (features,) = inputs
            belief = self._initial_belief(features)
        else:
            belief, features = map(_ContiguousGradient.apply, inputs)
        last = len(self.local_modules) - 1
        for index, module in enumerate(self.local_modules):
            logits, features = self._run_module(module, belief, features)
            if not (self.is_last and index == last):
                belief = logits.softmax(dim=1)
        return logits if self.is_last else (belief, features)


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


class ScheduledPart(nn.Module):
    """This rank's stages of ``network``, and the schedule by which all ranks run them.

    Args:
        network: a pipeline, the same on every rank; its modules are taken, not copied.
        name: the schedule.
        sizes: modules of each pipeline stage, first to last.

    Attributes:
        trunk: a pipeline has none.
        modules_by_rank: the number of modules on each rank.
        first_module: for each of this rank's stages, how many modules of the network come before it.
    """

    def __init__(self, network: BeliefNetwork, name: ScheduleName, sizes: Sequence[int]) -> None:
        super().__init__()
        self.trunk = nn.Identity()
        rank, ranks = dist.get_rank(), dist.get_world_size()
        owners = _owners(name, ranks)
        self.modules_by_rank = [
            sum(size for size, owner in zip(sizes, owners, strict=True) if owner == each) for each in range(ranks)
        ]
        bounds = list(pairwise(accumulate(sizes, initial=0)))
        own = [index for index, owner in enumerate(owners) if owner == rank]
        self.first_module = [bounds[index][0] for index in own]
        self.stages = nn.ModuleList(_ModulesInARow(network, *bounds[index]) for index in own)
        parameter = next(network.parameters())
        stages = [
            _Stage(module, index, len(sizes), parameter.device, module=bounds[index][0] + 1)
            for module, index in zip(self.stages, own, strict=True)
        ]
        schedule = torch_schedules.get_schedule_class(name)
        of_stages = stages if _STAGES_A_RANK[name] > 1 else stages[0]
        self._schedule = cast(ScheduleGPipe, schedule(of_stages, MICRO_BATCHES, loss_fn=F.cross_entropy))
        self._has_first, self._has_last = 0 in own, len(sizes) - 1 in own

    def accumulate_gradients(self, images: Tensor, labels: Tensor) -> Tensor:
        """One batch through the schedule, with gradients of the batch's mean loss; the loss, NaN where unknown."""
        losses: list[Tensor] = []
        enter("wait")
        self._schedule.step(
            *([images] if self._has_first else []),
            target=labels if self._has_last else None,
            losses=losses,
            return_outputs=False,
        )
        return torch.stack(losses).mean().detach() if losses else torch.full((), torch.nan)


def stages_in_all(name: ScheduleName, ranks: int) -> int:
    """How many pipeline stages the schedule called ``name`` has on ``ranks`` ranks."""
    return _STAGES_A_RANK[name] * ranks


def _owners(name: ScheduleName, ranks: int) -> list[int]:
    """The rank of each stage: in turns, or (ZBV) there and back again."""
    forth = list(range(ranks))
    if name == "ZBVZeroBubble":
        return [*forth, *reversed(forth)]
    return forth * _STAGES_A_RANK[name]
