"""Who computes when: a few steps followed span by span, apart from every step that is timed.

A rule that runs its modules itself says which module it is at (:func:`sid_core.phases.enter`). Where one network runs
end to end through autograd, nobody says so; then the module of a forward span is seen where the network runs it
(``run_module``), and that of a backward span by hooks on the tensors that go in and out. Neither touches a module: a
hook on one would keep the hand-written backward pass from running, and compiled code from being used as it is, and the
trace would show another step.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from bench.measure.clock import collector_paused
from bench.measure.phases import LETTERS, follow_phases
from bench.store.record import Trace
from bench.train.step import TrainingStep
from sid_core import BeliefNetwork
from sid_core.phases import Phase

_STEPS = 5  # odd, so that a median is one of them
_MOST_SPANS = 1000  # a record is one line of a file: more spans than that no figure shows
_DIGITS = 7  # of seconds


class Span(NamedTuple):
    """A stretch of time in which ``rank`` was in one phase of one module: a row of :class:`bench.store.record.Trace`.

    Seconds are those of a clock that all processes of a machine share.
    """

    rank: int
    module: int | None
    phase: str
    start_seconds: float
    end_seconds: float


class TraceRecorder:
    """Collects the spans of the steps that run while it is open; what runs before the first phase is told is left out.

    A module's span lasts until the next begins: the softmax and the loss behind a module count as the module's, what is
    recomputed in a backward pass as backward. On CUDA every change of phase waits for the device, so a step is slower
    here than elsewhere.

    Args:
        network: the network whose modules run in this process.
        rank: of this process.
        first_module: the number of ``network``'s first module in the whole network, whose numbers a rule tells.
    """

    def __init__(self, network: BeliefNetwork, rank: int = 0, first_module: int = 1) -> None:
        self._network = network
        self._rank = rank
        self._numbers: dict[nn.Module, int] = {
            module: at for at, module in enumerate(network.local_modules, first_module)
        }
        parameter = next(network.parameters(), None)
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self._at: tuple[Phase, int | None] = ("forward", None)
        self._marks: list[tuple[float, str, int | None]] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Starts to collect."""
        run_module = self._network.run_module
        first_module = min(self._numbers.values())

        def run_and_tell(module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            number = self._numbers.get(module)
            self._enter("backward" if self._at[0] == "backward" else "forward", number)
            if number == first_module and not features.is_leaf:  # the trunk's, with its graph
                self._tell_backward(features, None)
            logits, new_features = run_module(module, belief, features)
            for output in (logits, new_features):
                if output is not features:  # a cascade's features are the trunk's
                    self._tell_backward(output, number)
            return logits, new_features

        # In the instance's own dictionary, which comes before the class; nothing in a module is touched.
        self._network.__dict__["run_module"] = run_and_tell
        self._closing.callback(self._network.__dict__.pop, "run_module")
        self._closing.enter_context(follow_phases(self._hear))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the last span."""
        self._closing.close()
        self._mark("", None)

    def spans(self) -> list[Span]:
        """What was collected, in order of time, once the recorder is closed; neighbours that are alike are one span."""
        spans: list[Span] = []
        for (start, phase, module), (end, _, _) in zip(self._marks, self._marks[1:], strict=False):
            if spans and (spans[-1].module, spans[-1].phase) == (module, phase):
                spans[-1] = spans[-1]._replace(end_seconds=end)
            else:
                spans.append(Span(self._rank, module, phase, start, end))
        return spans

    def _hear(self, phase: Phase, module: int | None) -> None:
        """A phase was told. Autograd that begins within a module's backward pass is a part of it."""
        if module is not None or phase != "backward" or self._at[0] != "backward":
            self._enter(phase, module)

    def _enter(self, phase: Phase, module: int | None) -> None:
        self._at = (phase, module)
        self._mark(LETTERS[phase], module)

    def _mark(self, letter: str, module: int | None) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._marks.append((time.perf_counter(), letter, module))

    def _tell_backward(self, output: Any, number: int | None) -> None:
        """Has the backward pass of the module called ``number`` begin when the gradient of ``output`` is complete."""
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _gradient: self._enter("backward", number))


def trace_step(step: TrainingStep, images: Tensor, labels: Tensor) -> Trace | None:
    """The step of median length out of a few; None where it has more than 1,000 spans.

    Args:
        step: the training step, warm; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64.
    """
    steps = []
    with collector_paused():
        for _ in range(_STEPS):
            with TraceRecorder(step.network) as recorder:
                step(images, labels)
            steps.append(recorder.spans())
    steps.sort(key=lambda spans: spans[-1].end_seconds - spans[0].start_seconds)
    return merge_traces([steps[_STEPS // 2]])


def merge_traces(ranks: Iterable[Sequence[Span]], steps: int = 1) -> Trace | None:
    """The spans of all ranks as one trace, counted from the earliest start; None where they are more than 1,000.

    Spans too short for seven digits of a second are left out.

    Args:
        ranks: the spans of each rank, all of the same steps.
        steps: how many steps they are of.
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
