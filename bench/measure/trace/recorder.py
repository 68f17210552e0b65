"""Records which module computes when, in a few steps that are separate from the timed ones.

A rule that runs its modules itself reports the current module (:func:`sid_core.phases.enter`). When a network runs end
to end through autograd, no rule reports it; then the module of a forward span is observed in ``run_module`` of the
network, and that of a backward span by hooks on the tensors that enter and leave a module. No module itself has a hook:
a hook would disable the hand-written backward pass and compiled code, so the trace would show another step.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from bench.config.methods import load_method
from bench.measure.clock import collector_paused
from bench.measure.phases import LETTERS, follow_phases
from bench.store.measurements.trace import Trace
from bench.train.step import TrainingStep
from sid_core import BeliefNetwork
from sid_core.phases import Phase

_STEPS = 3  # odd, so that a median is one of them
_MOST_SPANS = 1000  # limits the length of a record; a figure could not show more spans
_DIGITS = 7  # decimals of seconds


class Span(NamedTuple):
    """A time span of one rank in one phase of one module: a row of :class:`bench.store.measurements.trace.Trace`.

    Seconds are those of ``time.perf_counter``, which the processes of a machine share.
    """

    rank: int
    module: int | None
    phase: str
    start_seconds: float
    end_seconds: float


class TraceRecorder:
    """Collects the spans of steps that run in its context; work before the first reported phase is left out.

    A span lasts until the next one begins, so the softmax and the loss after a module belong to the module.
    Recomputation in a backward pass counts as backward. On CUDA, every change of phase waits for the device, so traced
    steps are slower than others.

    Args:
        network: the network whose modules run in this process.
        rank: the rank of this process.
        first_module: the number of ``network``'s first module in the whole network; rules report numbers in the whole
            network.
        watch_modules: whether modules are observed; where the whole step is compiled, they are parts of its graph.
    """

    def __init__(
        self, network: BeliefNetwork, rank: int = 0, first_module: int = 1, watch_modules: bool = True
    ) -> None:
        self._network = network
        self._rank = rank
        self._numbers: dict[nn.Module, int] = {
            module: at for at, module in enumerate(network.local_modules, first_module)
        }
        parameter = next(network.parameters(), None)
        self._watch_modules = watch_modules
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self._at: tuple[Phase, int | None] = ("forward", None)
        self._marks: list[tuple[float, str, int | None]] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Start collecting."""
        run_module = self._network.run_module
        first_module = min(self._numbers.values())

        def run_and_record(module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            number = self._numbers.get(module)
            self._enter("backward" if self._at[0] == "backward" else "forward", number)
            if number == first_module and not features.is_leaf:  # features of the trunk, with a graph
                self._enter_backward_at(features, None)
            logits, new_features = run_module(module, belief, features)
            for output in (logits, new_features):
                if output is not features:  # in a cascade, these are the trunk's features
                    self._enter_backward_at(output, number)
            return logits, new_features

        if self._watch_modules:
            # An attribute of the instance, which overrides the method of the class.
            self._network.__dict__["run_module"] = run_and_record
            self._closing.callback(self._network.__dict__.pop, "run_module")
        self._closing.enter_context(follow_phases(self._on_phase))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the last span."""
        self._closing.close()
        self._mark("", None)

    @property
    def at(self) -> tuple[Phase, int | None]:
        """The phase that runs now, and the number of its module; None where that is not known, or for the trunk."""
        return self._at

    def spans(self) -> list[Span]:
        """Return the collected spans in order of time; adjacent spans of one module and phase are merged.

        Call it after the context has ended.
        """
        spans: list[Span] = []
        for (start, phase, module), (end, _, _) in zip(self._marks, self._marks[1:], strict=False):
            if spans and (spans[-1].module, spans[-1].phase) == (module, phase):
                spans[-1] = spans[-1]._replace(end_seconds=end)
            else:
                spans.append(Span(self._rank, module, phase, start, end))
        return spans

    def _on_phase(self, phase: Phase, module: int | None) -> None:
        """Enter a reported phase, unless autograd begins within a module's backward pass and so is a part of it."""
        if module is not None or phase != "backward" or self._at[0] != "backward":
            self._enter(phase, module)

    def _enter(self, phase: Phase, module: int | None) -> None:
        self._at = (phase, module)
        self._mark(LETTERS[phase], module)

    def _mark(self, letter: str, module: int | None) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._marks.append((time.perf_counter(), letter, module))

    def _enter_backward_at(self, output: Any, number: int | None) -> None:
        """Begin the backward pass of module ``number`` when the gradient of ``output`` is complete."""
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _gradient: self._enter("backward", number))


def trace_step(step: TrainingStep, images: Tensor, labels: Tensor) -> Trace | None:
    """Trace a few steps, and return the one of median length; None if it has more than 1,000 spans.

    Args:
        step: the training step, warm; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64.
    """
    watch_modules = step.cell is None or not load_method(step.cell.method).compiles
    steps = []
    with collector_paused():
        for _ in range(_STEPS):
            with TraceRecorder(step.network, watch_modules=watch_modules) as recorder:
                step(images, labels)
            steps.append(recorder.spans())
    steps.sort(key=lambda spans: spans[-1].end_seconds - spans[0].start_seconds)
    return merge_traces([steps[_STEPS // 2]])


def merge_traces(ranks: Iterable[Sequence[Span]], steps: int = 1) -> Trace | None:
    """Merge the spans of all ranks into one trace that starts at 0 s; None if there are more than 1,000 spans.

    Times are rounded to seven decimals, and spans of length 0 are left out.

    Args:
        ranks: the spans of each rank, all of the same steps.
        steps: number of steps.
    """
    spans = [span for spans in ranks for span in spans]
    zero = min((span.start_seconds for span in spans), default=0.0)
    rounded = [
        span._replace(
            start_seconds=round(span.start_seconds - zero, _DIGITS), end_seconds=round(span.end_seconds - zero, _DIGITS)
        )
        for span in spans
    ]
    rounded = [span for span in rounded if span.end_seconds > span.start_seconds]
    if len(rounded) > _MOST_SPANS:
        return None
    return Trace(
        steps=steps,
        rank=[span.rank for span in rounded],
        module=[span.module for span in rounded],
        phase="".join(span.phase for span in rounded),
        start_seconds=[span.start_seconds for span in rounded],
        end_seconds=[span.end_seconds for span in rounded],
    )
