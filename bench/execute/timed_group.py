"""Times the steps and the predictions of one or several cells in one process. Imports torch.

The cells of a group differ only in what belongs to their methods (:mod:`bench.execute.groups`). They share a network,
an optimizer and a batch, and BP's step is timed once for all of them, so each pair of methods is compared within one
process. The order in which the steps are built, warmed up and run differs from process to process. Predictions are
timed after the steps, each on a network of its own.
"""

import gc
import random
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bench.analysis.reliability import fewest_blocks
from bench.config.batches import refuse_single_images
from bench.config.cell import Cell
from bench.config.check import baseline_of
from bench.config.methods import is_compiled
from bench.execute.answer_parts import common_parts, one_batch, step_on
from bench.execute.failures import describe_failure
from bench.execute.messages import Answer, Request
from bench.execute.settings_watch import SettingsWatch
from bench.measure.inference import sample_inference
from bench.measure.latency.legs import LegError
from bench.measure.latency.measure import sample_steps
from bench.measure.latency.shares import measure_shares
from bench.measure.trace.recorder import trace_step
from bench.store.sample import Sample
from bench.train.compiled import without_stored_code
from bench.train.datasets.splits import Splits
from bench.train.step import TrainingStep
from sid_core.steps.compiled import forget_compiled, without_compilation


def time_group(request: Request, dataset: Splits, watch: SettingsWatch) -> Answer:
    """Times the step of each cell.

    Args:
        request: of the task ``time``.
        dataset: the data of the cells.
        watch: has seen the code and the data loaded.

    Returns:
        An answer with one member per cell, in order. A cell whose step raises an exception has a member that says so,
        and the others are timed without it. If a cell disturbs the others, the answer names it in ``apart`` instead.

    Raises:
        Exception: what BP's step has raised, without which no cell can be timed.
    """
    common = common_parts(request, dataset)
    group = _Group(request, dataset, watch)
    with without_stored_code() if group.measures_compilation else nullcontext():
        apart = group.build()
        if not apart:
            group.sample()
    if not apart:
        changed = watch.changed()
        if changed and len(request.cells) > 1:
            apart = range(len(request.cells))  # it is not known which of them did it
    if apart:
        return Answer(status="ok", apart=tuple(apart))
    if finding := watch.finding(changed):
        common["environment"]["doctor"] = finding
    common["unreliable_because"] = watch.disturbance(changed)
    members = [group.answer(place, common) for place in range(len(request.cells))]
    return Answer(status="ok", members=tuple(members))


class _Group:
    """The steps of a group in this process; a cell is known by its place in the request."""

    def __init__(self, request: Request, dataset: Splits, watch: SettingsWatch) -> None:
        self._request = request
        self._cells = request.cells
        self._dataset = dataset
        self._watch = watch
        self._baseline_cell = baseline_of(request.cell)
        self._images, self._labels = one_batch(request.cell, dataset)
        self._random = random.Random(f"{request.cell.id} {request.process}")
        self._failed: dict[int, Answer] = {}
        self._samples: dict[int, Sample] = {}
        self._steps: dict[int, TrainingStep] = {}
        self._compile_seconds: dict[int, float] = {}
        # The first process compiles as on a fresh machine, and later ones take what is stored.
        self.measures_compilation = request.process == 0 and any(
            "latency" in cell.passes and is_compiled(cell) for cell in self._cells
        )

    def build(self) -> Sequence[int]:
        """Builds the steps and runs each once; returns the places of cells that cannot share a process with others.

        A step that moves the parameters of its network to other places in memory gets a network of its own, so that the
        others run on parameters where PyTorch has put them. Such networks are built in random order, since the place of
        a network changes a step by 1 to 4 %.
        """
        timed = [place for place, cell in enumerate(self._cells) if "latency" in cell.passes]
        if not timed:
            return []
        self._baseline = self._build()
        self._run(self._baseline)
        threads = threading.active_count()
        with_own_network = []
        for place in self._shuffled(timed):
            moves = self._try(place)
            if len(self._cells) > 1 and (self._watch.changed() or threading.active_count() > threads):
                return [place]
            if moves:
                with_own_network.append(place)
        if with_own_network:
            networks = {place: self._build() for place in self._shuffled([None, *with_own_network])}
            self._baseline = networks.pop(None)
            self._steps = {
                place: own.for_cell(self._cells[place]) for place, own in networks.items() if place is not None
            }
        for place in timed:
            if place not in self._steps and place not in self._failed:
                self._steps[place] = self._baseline.for_cell(self._cells[place])
        return []

    def sample(self) -> None:
        """Times the steps; again from the start without a step that raises an exception.

        Raises:
            Exception: what BP's step has raised.
        """
        cell = self._request.cell
        while self._steps:
            places = self._shuffled(self._steps)
            try:
                samples = sample_steps(
                    [self._steps[place] for place in places],
                    self._baseline,
                    self._images,
                    self._labels,
                    cell.latency_seconds * (len(places) + 1) / 2,  # of two legs, with one cell
                    loops=self._request.loops,
                    timed=self._timed,
                    order=self._random,
                    fewest_blocks=fewest_blocks(cell.processes),
                )
            except LegError as error:
                cause = error.__cause__
                if error.leg is None or not isinstance(cause, Exception):
                    raise cause or error from None
                self._fail(places[error.leg], cause)
            else:
                self._samples = {
                    place: sample.model_copy(update={"compile_seconds": self._compile_seconds.get(place)})
                    for place, sample in zip(places, samples, strict=True)
                }
                return

    def answer(self, place: int, common: dict[str, Any]) -> Answer:
        """The answer of one cell, with a trace of its step, and with the phases if this process is the last."""
        parts: dict[str, Any] = {}
        if place not in self._failed:
            try:
                if place in self._steps:
                    parts |= self._phases(self._steps[place])
                if "inference" in self._cells[place].passes:
                    parts["inference_sample"] = self._sample_inference(self._cells[place])
            except Exception as error:
                self._fail(place, error)
        failed = self._failed.get(place)
        return failed or Answer(status="ok", latency_sample=self._samples.get(place), **common, **parts)

    def _phases(self, step: TrainingStep) -> dict[str, Any]:
        parts: dict[str, Any] = {"trace": trace_step(step, self._images, self._labels)}
        if self._request.is_last:
            with step.timed():
                parts["shares"] = measure_shares(step, self._images, self._labels)
        return parts

    def _sample_inference(self, cell: Cell) -> Sample:
        return sample_inference(
            step_on(cell, self._dataset),
            self._images,
            cell.latency_seconds,
            fewest_blocks=fewest_blocks(cell.processes),
            order=self._random,
        )

    def _try(self, place: int) -> bool:
        """Runs a step once; returns whether it moves the parameters of its network."""
        before = self._places_in_memory()
        try:
            refuse_single_images(
                self._cells[place], self._dataset.shape, self._dataset.classes, self._dataset.sample_counts
            )
            step = self._baseline.for_cell(self._cells[place])
            if self.measures_compilation and step.is_compiled:
                self._compile_seconds[place] = self._seconds_to_compile(step)
            else:
                self._run(step)
        except Exception as error:
            self._fail(place, error)
        moves = before != self._places_in_memory()
        if moves or place in self._failed:
            self._baseline = self._build()
        return moves and place not in self._failed

    def _seconds_to_compile(self, step: TrainingStep) -> float:
        """Runs a step twice; returns how much longer the first took, in which everything is compiled anew."""
        forget_compiled()
        started = time.perf_counter()
        self._run(step)
        compiled = time.perf_counter()
        self._run(step)
        return max(0.0, 2 * compiled - started - time.perf_counter())

    def _timed(self) -> AbstractContextManager[object]:
        """The context of all that is timed: it is an error if anything is compiled in it."""
        return without_compilation() if any(map(is_compiled, self._cells)) else nullcontext()

    def _places_in_memory(self) -> list[int]:
        return [parameter.data_ptr() for parameter in self._baseline.network.parameters()]

    def _fail(self, place: int, error: Exception) -> None:
        """Notes that a step has failed, and frees what it holds."""
        self._failed[place] = describe_failure(error)
        self._steps.pop(place, None)
        error.__traceback__ = None
        gc.collect()

    def _build(self) -> TrainingStep:
        return step_on(self._baseline_cell, self._dataset)

    def _run(self, step: TrainingStep) -> None:
        step(self._images, self._labels)

    def _shuffled(self, places: Any) -> list[Any]:
        return self._random.sample(list(places), len(places))
