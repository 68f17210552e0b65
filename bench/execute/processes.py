"""A cell in several fresh processes, one after the other, as one answer."""

from collections.abc import Callable, Sequence

from bench.config.cell import Cell, Pass
from bench.execute.messages import Answer
from bench.measure.latency.sample import Sample

RunProcess = Callable[[Sequence[Pass], Sequence[Sample]], Answer]


def measure_in_processes(cell: Cell, run_process: RunProcess) -> Answer:
    """Runs the processes of one cell.

    The passes that are not timed come first, in a process of their own: the memory pass leaves behind threads whose
    operators pass through Python, and an allocator that holds memory. Each of the ``processes`` of the cell then times
    the step. It gets the latency samples of all earlier ones, and the last one computes the latency from all of them.
    The passes of a cell on several ranks share one process per rank.

    Args:
        cell: the cell.
        run_process: runs some passes in one process, given the latency samples of the earlier ones.

    Returns:
        The first process's answer with the latency and the trace of the last one, or the answer of the first process
        that failed. ``work_seconds`` is the sum over the processes; None if the last of them was killed.
    """
    passes_by_process = _passes_by_process(cell)
    answers: list[Answer] = []
    for passes in passes_by_process:
        samples = [answer.latency_sample for answer in answers if answer.latency_sample is not None]
        answers.append(run_process(passes, samples))
        if answers[-1].status != "ok":
            break
    first, last = answers[0], answers[-1]
    work_seconds = None if last.work_seconds is None else sum(answer.work_seconds or 0.0 for answer in answers)
    if last.status != "ok":
        number, processes = len(answers), len(passes_by_process)
        message = f"process {number} of {processes}: {last.message}" if processes > 1 else last.message
        return last.model_copy(update={"message": message, "work_seconds": work_seconds})
    found = {name: text for answer in answers for name, text in answer.environment.get("doctor", {}).items()}
    return first.model_copy(
        update={
            "latency": last.latency,
            "trace": last.trace,
            "latency_sample": None,
            "work_seconds": work_seconds,
            "environment": first.environment | ({"doctor": found} if found else {}),
        }
    )


def _passes_by_process(cell: Cell) -> list[tuple[Pass, ...]]:
    if cell.ranks > 1:
        return [cell.passes]
    untimed = tuple(name for name in cell.passes if name != "latency")
    timed: list[tuple[Pass, ...]] = [("latency",)] * cell.processes if "latency" in cell.passes else []
    return [untimed, *timed] if untimed else timed
