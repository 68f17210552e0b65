"""The passes of a cell on several ranks, which run them together; rank 0 computes the statistics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bench.analysis.reliability import fewest_blocks
from bench.config.cell import Cell, Pass
from bench.config.methods import BASELINE, load_method
from bench.measure.accuracy_on_ranks import measure_accuracy_on_ranks
from bench.measure.clock import CpuClock
from bench.measure.latency.legs import Leg, causes_of_leg_errors, sample_legs
from bench.measure.memory.measure import measure_memory
from bench.measure.trace.module_times import time_modules
from bench.measure.trace.rank_trace import RankTrace, gather, trace_ranks
from bench.store.measurements.accuracy import Accuracy
from bench.store.measurements.memory import Memory
from bench.store.measurements.ranks import Ranks
from bench.store.measurements.trace import Trace
from bench.store.sample import Sample
from bench.train.datasets.splits import Splits
from bench.train.ranks.step import RankStep, build_one_rank_steps, build_rank_step

# A leg begins with a call to ranks that sleep and ends with a barrier, which training does not have.
_FEWEST_STEPS_IN_LEG = 5


class _Conductor:
    """Lets rank 0 decide how many steps all ranks run next, or run steps alone while the others sleep.

    Args:
        run: runs this rank's part of a number of steps.
        control: a gloo process group, in which a waiting rank sleeps.
        device: of the computation.
    """

    def __init__(self, run: Callable[[int], object], control: Any, device: torch.device) -> None:
        self._run = run
        self._control = control
        self._device = device

    def together(self, loops: int) -> None:
        """On rank 0: runs ``loops`` steps on all ranks, from a barrier to a barrier."""
        self._announce(loops)
        self._run_to_barrier(loops)

    def alone(self, step: Callable[[], object]) -> Leg:
        """On rank 0: makes a leg that runs ``step`` while the other ranks sleep."""

        def run(loops: int) -> None:
            for _ in range(loops):
                step()
            self._synchronize()

        return run

    def follow(self) -> None:
        """On the other ranks: runs the steps that rank 0 asks for, until it calls :meth:`dismiss`."""
        while loops := self._announce(0):
            self._run_to_barrier(loops)

    def dismiss(self) -> None:
        """On rank 0: ends :meth:`follow` on the other ranks."""
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


@dataclass(frozen=True)
class RankMeasurements:
    """What rank 0 knows of a cell on several ranks; a part whose pass did not run is None.

    Attributes:
        ranks: all but the ratio to one rank, which is that of the samples of all processes.
        memory: of the rank that needs most.
        sample: compared with BP on one rank.
        one_rank_sample: compared with the cell's own rule on one rank; for BP's schedules the two are the same.
        trace: of all ranks.
        accuracy: of the network that all ranks have trained.
    """

    ranks: Ranks
    memory: Memory | None
    sample: Sample | None
    one_rank_sample: Sample | None
    trace: Trace | None
    accuracy: Accuracy | None


@dataclass(frozen=True)
class _Timing:
    """Samples as in :class:`RankMeasurements`, and the schedule's lower bound."""

    sample: Sample
    one_rank_sample: Sample
    bound: float | None


def measure_on_ranks(
    cell: Cell,
    passes: Sequence[Pass],
    data: Splits,
    images: Tensor,
    labels: Tensor,
    control: Any,
) -> RankMeasurements | None:
    """Runs passes of ``cell``; every rank calls it. Returns None on every rank but rank 0.

    Args:
        cell: what to measure.
        passes: some of memory, latency and accuracy.
        data: the splits, on the CPU, the same on each rank.
        images: one batch, ``[B, channels, H, W]``, the same on each rank, on its device.
        labels: ``[B]``, int64.
        control: see :class:`_Conductor`.
    """
    memories: list[Memory] = []
    timing: _Timing | None = None
    traced: RankTrace | None = None
    accuracy: Accuracy | None = None
    shape, classes = data.shape, data.classes
    step = build_rank_step(cell, shape, classes)
    modules_by_rank = step.share.modules_by_rank
    if "memory" in passes:
        memories = gather(measure_memory(step, images, labels), control)
    if "latency" in passes:
        step = build_rank_step(cell, shape, classes)
        timing = _time(cell, step, shape, classes, images, labels, control)
        traced = trace_ranks(step, images, labels, control)
    if "accuracy" in passes:
        del step
        accuracy = measure_accuracy_on_ranks(cell, data, control)
    if dist.get_rank() > 0:
        return None
    return RankMeasurements(
        ranks=Ranks(
            modules=modules_by_rank,
            ratio_to_one_rank=None,
            ratio_to_one_rank_ci95=None,
            bound=timing.bound if timing else None,
            busy_share=traced.busy_share if traced else None,
            peak_activation_bytes=[memory.peak_activation_bytes for memory in memories] or None,
            peak_total_bytes=[memory.peak_total_bytes for memory in memories] or None,
        ),
        memory=max(memories, key=lambda memory: memory.peak_activation_bytes, default=None),
        sample=timing.sample if timing else None,
        one_rank_sample=timing.one_rank_sample if timing else None,
        trace=traced.trace if traced else None,
        accuracy=accuracy,
    )


def _time(
    cell: Cell,
    step: RankStep,
    shape: tuple[int, int, int],
    classes: int,
    images: Tensor,
    labels: Tensor,
    control: Any,
) -> _Timing | None:
    """Times the step of all ranks; None on every rank but rank 0, which the others follow.

    There are two series of blocks: one compared with BP on one rank, one with the cell's own rule on one rank; for BP's
    schedules the two are the same. Steps on one rank use as many threads as each of several ranks does.
    """
    conductor = _Conductor(partial(step.run, images, labels), control, images.device)
    if dist.get_rank() > 0:
        conductor.follow()
        return None
    baseline, own = build_one_rank_steps(cell, shape, classes)
    loops = max(_FEWEST_STEPS_IN_LEG, step.share.run_length)

    def sample(other: Callable[[Tensor, Tensor], object]) -> Sample:
        alone = conductor.alone(partial(other, images, labels))
        fewest = fewest_blocks(cell.processes)
        legs = [conductor.together]
        with causes_of_leg_errors():
            (taken,) = sample_legs(legs, alone, CpuClock(), cell.latency_seconds, loops=loops, fewest_blocks=fewest)
        return taken

    with_bp = sample(baseline)
    with_own = with_bp if load_method(cell.method).on_one_rank == BASELINE else sample(own)
    conductor.dismiss()
    times = time_modules(own, images, labels)
    return _Timing(with_bp, with_own, bound=None if times is None else step.share.bound(times))
