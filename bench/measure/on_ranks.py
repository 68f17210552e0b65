"""The passes of a cell on several ranks: all run them at once, and rank 0 does the statistics."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from bench.analysis.ratio import ratio_of
from bench.config.cell import Cell
from bench.config.methods import BASELINE, load_method
from bench.measure.clock import CpuClock
from bench.measure.latency.measure import Leg, Sample, sample_legs, summarise
from bench.measure.memory.measure import measure_memory
from bench.measure.trace.module_times import time_modules
from bench.measure.trace.rank_trace import gather, trace_ranks
from bench.store.record import Memory, Ranks
from bench.train.ranks.step import RankStep, build_one_rank_steps, build_rank_step

# A leg begins with a call to ranks that sleep and ends with a barrier, which training does not have.
_FEWEST_STEPS_IN_LEG = 5


class _Conductor:
    """Lets all ranks run the same number of steps, or rank 0 alone some others, while the rest sleep.

    Args:
        run: this rank's side of so many steps of all ranks.
        control: a group over gloo, in which a rank that waits sleeps.
        device: of the computation.
    """

    def __init__(self, run: Callable[[int], object], control: Any, device: torch.device) -> None:
        self._run = run
        self._control = control
        self._device = device

    def together(self, loops: int) -> None:
        """Rank 0's call for ``loops`` steps of all ranks, from a barrier to a barrier."""
        self._announce(loops)
        self._run_to_barrier(loops)

    def alone(self, step: Callable[[], object]) -> Leg:
        """A leg of rank 0 while all others wait for its next call."""

        def run(loops: int) -> None:
            for _ in range(loops):
                step()
            self._synchronize()

        return run

    def follow(self) -> None:
        """What the other ranks do until rank 0 calls :meth:`dismiss`."""
        while loops := self._announce(0):
            self._run_to_barrier(loops)

    def dismiss(self) -> None:
        """Rank 0 needs the others no more."""
        self._announce(0)

    def _announce(self, loops: int) -> int:
        call = torch.tensor([loops])
        dist.broadcast(call, src=0, group=self._control)
        return int(call)

    def _run_to_barrier(self, loops: int) -> None:
        self._run(loops)
        self._synchronize()
        dist.barrier()

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def measure_on_ranks(
    cell: Cell, shape: tuple[int, int, int], classes: int, images: Tensor, labels: Tensor, control: Any
) -> dict[str, Any]:
    """The parts of the record of ``cell``, on rank 0; nothing on the others, which run the same passes with it.

    Args:
        cell: its passes are memory, latency or both.
        shape: of an image: channels, height, width.
        classes: C.
        images: one batch, ``[B, channels, H, W]``, the same on each rank, on its device.
        labels: ``[B]``, int64.
        control: see :class:`_Conductor`.
    """
    memories: list[Memory] = []
    step = build_rank_step(cell, shape, classes)
    ranks: dict[str, Any] = dict.fromkeys(Ranks.model_fields) | {"modules": step.share.modules_by_rank}
    parts: dict[str, Any] = {"ranks": ranks}
    if "memory" in cell.passes:
        memories = gather(measure_memory(step, images, labels), control)
    if memories:
        largest = max(memories, key=lambda memory: memory.peak_activation_bytes)
        parts["memory"] = largest.model_dump(mode="json")
        for name in ("peak_activation_bytes", "peak_total_bytes"):
            ranks[name] = [getattr(memory, name) for memory in memories]
    if "latency" in cell.passes:
        step = build_rank_step(cell, shape, classes)
        timed = _time(cell, step, shape, classes, images, labels, control)
        traced = trace_ranks(step, images, labels, control)
        ranks |= timed.pop("ranks", {}) | traced.pop("ranks", {})
        parts |= timed | traced
    return parts if dist.get_rank() == 0 else {}


def _time(
    cell: Cell,
    step: RankStep,
    shape: tuple[int, int, int],
    classes: int,
    images: Tensor,
    labels: Tensor,
    control: Any,
) -> dict[str, Any]:
    """``latency``, and of ``ranks`` the ratio to one rank; nothing on the ranks that follow.

    Two series of blocks: against BP on one rank, and against the cell's own rule there, which for BP's schedules is the
    same. Steps on one rank use as many threads as those of each of several.
    """
    conductor = _Conductor(partial(step.run, images, labels), control, images.device)
    if dist.get_rank() > 0:
        conductor.follow()
        return {}
    baseline, own = build_one_rank_steps(cell, shape, classes)
    loops = max(_FEWEST_STEPS_IN_LEG, step.share.run_length)

    def sample(other: Callable[[Tensor, Tensor], object]) -> Sample:
        legs = (conductor.together, conductor.alone(partial(other, images, labels)))
        return sample_legs(legs, CpuClock(), cell.latency_seconds, loops)

    against_bp = sample(baseline)
    against_own = against_bp if load_method(cell.method).on_one_rank == BASELINE else sample(own)
    conductor.dismiss()
    ratio = ratio_of([np.array(against_own.blocks_seconds)])
    times = time_modules(own, images, labels)
    return {
        "latency": summarise([against_bp], len(labels)).model_dump(mode="json"),
        "ranks": {
            "ratio_to_one_rank": ratio.value,
            "ratio_to_one_rank_ci95": (ratio.low, ratio.high),
            "bound": None if times is None else step.share.bound(times),
        },
    }
