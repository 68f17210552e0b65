"""Who computes when on several ranks, and how much of the time each is busy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.distributed as dist
from torch import Tensor

from bench.measure.clock import collector_paused
from bench.measure.phases import LETTERS
from bench.measure.trace.recorder import Span, TraceRecorder, merge_traces
from bench.store.measurements.trace import Trace
from bench.train.ranks.step import RankStep

_FOLLOWED_RUNS = 3  # odd, so that a median is one of them


@dataclass(frozen=True)
class RankTrace:
    """When each rank computes and waits.

    Attributes:
        trace: the spans of all ranks; None where they are more than a record stores.
        busy_share: for each rank, the share of a step's time in which it does not wait.
    """

    trace: Trace | None
    busy_share: list[float]


def trace_ranks(step: RankStep, images: Tensor, labels: Tensor, control: Any) -> RankTrace | None:
    """Traces one step of all ranks; None on every rank but rank 0.

    For a rule that works on several batches at once, the busy share is that of one run over all of them.

    Args:
        step: this rank's step, warm; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the rank's device.
        labels: ``[B]``, int64.
        control: a gloo process group of all ranks.
    """
    shown = _follow(step, partial(step, images, labels), control)
    many = step.share.run_length
    whole = shown if many == 1 else _follow(step, partial(step.run, images, labels, many), control)
    if not shown:
        return None
    return RankTrace(merge_traces(shown, step.batches_in_call), [_busy_share(spans, whole) for spans in whole])


def _follow(step: RankStep, run: Callable[[], object], control: Any) -> list[list[Span]]:
    """On rank 0 the spans of all ranks, of the run of median length out of a few; elsewhere nothing."""
    runs = []
    with collector_paused():
        for _ in range(_FOLLOWED_RUNS):
            dist.barrier()
            with TraceRecorder(step.share.followed, dist.get_rank(), step.share.first_module) as recorder:
                run()
            runs.append(recorder.spans())
    by_run = list(zip(*gather(runs, control), strict=True))
    by_run.sort(key=lambda ranks: _length(ranks))
    return list(by_run[_FOLLOWED_RUNS // 2]) if by_run else []


def _busy_share(spans: Sequence[Span], ranks: Sequence[Sequence[Span]]) -> float:
    """Of the time that all ranks take, the share in which the rank of ``spans`` neither waits nor is done."""
    busy = sum(span.end_seconds - span.start_seconds for span in spans if span.phase != LETTERS["wait"])
    return busy / _length(ranks)


def _length(ranks: Sequence[Sequence[Span]]) -> float:
    """Seconds from the first start to the last end."""
    return max(spans[-1].end_seconds for spans in ranks) - min(spans[0].start_seconds for spans in ranks)


def gather(own: Any, control: Any) -> list[Any]:
    """On rank 0 what each rank has, in order; elsewhere nothing."""
    everybodys: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(own, everybodys, dst=0, group=control)
    return everybodys or []
