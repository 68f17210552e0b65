"""A cell in several fresh processes, one after the other, as one answer."""

from collections.abc import Callable, Sequence

from bench.execute.messages import Answer
from bench.measure.latency.sample import Sample


def measure_in_processes(processes: int, run_process: Callable[[Sequence[Sample]], Answer]) -> Answer:
    """Runs the processes of one cell.

    The first process runs every pass. The others time the step again. Each gets the latency samples of all earlier
    ones, and the last one computes the latency from all of them.

    Args:
        processes: how many, at least 1.
        run_process: runs one process, given the samples of the earlier ones.

    Returns:
        The first process's answer with the latency and the trace of the last one, or the answer of the first process
        that failed. ``work_seconds`` is the sum over the processes; None if the last of them was killed.
    """
    answers: list[Answer] = []
    while len(answers) < processes and all(answer.status == "ok" for answer in answers):
        samples = [answer.latency_sample for answer in answers if answer.latency_sample is not None]
        answers.append(run_process(samples))
    first, last = answers[0], answers[-1]
    work_seconds = None if last.work_seconds is None else sum(answer.work_seconds or 0.0 for answer in answers)
    if last.status != "ok":
        message = f"process {len(answers)} of {processes}: {last.message}" if processes > 1 else last.message
        return last.model_copy(update={"message": message, "work_seconds": work_seconds})
    return first.model_copy(
        update={"latency": last.latency, "trace": last.trace, "latency_sample": None, "work_seconds": work_seconds}
    )
