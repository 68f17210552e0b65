"""What is not timed of one cell: passes and traces; and all passes of several ranks, as an answer. Imports torch."""

from collections.abc import Sequence

from bench.config.cell import Cell, Pass
from bench.config.methods import is_compiled
from bench.execute.answer_parts import common_parts, one_batch, step_on
from bench.execute.messages import Answer, Request
from bench.execute.rank_context import RankContext
from bench.execute.settings_watch import SettingsWatch
from bench.measure.accuracy import measure_accuracy
from bench.measure.inference import measure_inference_bytes
from bench.measure.memory.compiled import measure_compiled_memory
from bench.measure.memory.measure import measure_memory
from bench.measure.on_ranks import measure_on_ranks
from bench.measure.rule_check import rule_fault
from bench.measure.trace.step_trace import trace_memory
from bench.store.findings import RULE_CHECK
from bench.train.datasets.splits import Splits
from bench.train.step import TrainingStep


def run_passes(request: Request, dataset: Splits, context: RankContext | None, watch: SettingsWatch) -> Answer:
    """Runs the passes that ``request`` asks for.

    Args:
        request: of the task ``measure`` or ``trace``, or ``time`` on several ranks.
        dataset: the cell's data.
        context: this rank; None for a cell on one rank.
        watch: has seen the code and the data loaded.

    Returns:
        The parts of the record. Of several ranks, only rank 0 answers with measurements.
    """
    # Before the passes, after which threads and memory of theirs may be left.
    common = common_parts(request, dataset, context)
    faults: dict[str, str] = {}
    if request.task == "trace":
        answer = _trace(request.cell, dataset)
    elif context is None:
        answer = _measure(request.cell, dataset, request.passes, faults)
    else:
        answer = _measure_on_ranks(request, dataset, context)
    changed = watch.changed()
    if finding := watch.finding(changed) | faults:
        common["environment"]["doctor"] = finding
    unreliable = watch.disturbance(changed)
    return answer.model_copy(update={**common, "unreliable_because": unreliable})


def _measure(cell: Cell, dataset: Splits, passes: Sequence[Pass], faults: dict[str, str]) -> Answer:
    """Passes of a cell on one rank, each with a network of its own; what is found of the rule goes to ``faults``."""
    memory = accuracy = inference_bytes = None
    if "memory" in passes:
        measure = measure_compiled_memory if is_compiled(cell) else measure_memory
        step = step_on(cell, dataset)
        memory = measure(step, *one_batch(cell, dataset))
        _look(cell, step, dataset, faults)
        del step  # the next pass has a network of its own
    if "accuracy" in passes:
        step = step_on(cell, dataset)
        accuracy = measure_accuracy(cell, step, dataset)
        _look(cell, step, dataset, faults)
        del step
    if "inference" in passes:
        images, _ = one_batch(cell, dataset)
        inference_bytes = measure_inference_bytes(step_on(cell, dataset), images)
    return Answer(status="ok", memory=memory, accuracy=accuracy, inference_bytes=inference_bytes)


def _look(cell: Cell, step: TrainingStep, dataset: Splits, faults: dict[str, str]) -> None:
    if fault := rule_fault(cell, step, lambda: one_batch(cell, dataset)):
        faults[RULE_CHECK] = fault


def _trace(cell: Cell, dataset: Splits) -> Answer:
    """One step, with what it creates and holds; its memory is that of the memory pass."""
    traced = trace_memory(step_on(cell, dataset), *one_batch(cell, dataset))
    return Answer(status="ok", traced_step=traced)


def _measure_on_ranks(request: Request, dataset: Splits, context: RankContext) -> Answer:
    """The passes of a cell on several ranks, which start them together."""
    images, labels = one_batch(request.cell, dataset)
    control = context.join(request.cell.device)
    passes: Sequence[Pass] = ("latency",) if request.task == "time" else request.passes
    measured = measure_on_ranks(request.cell, passes, dataset, images, labels, control)
    if measured is None:
        return Answer(status="ok")
    return Answer(
        status="ok",
        memory=measured.memory,
        latency_sample=measured.sample,
        one_rank_sample=measured.one_rank_sample,
        trace=measured.trace,
        ranks=measured.ranks,
        accuracy=measured.accuracy,
    )
