"""A cell that is being measured: the answers of its processes so far, and the record that they make."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.config.cell import Cell
from bench.config.check import is_baseline
from bench.execute.groups import is_timed, untimed_passes
from bench.execute.messages import Answer
from bench.machine.environment import machine_environment
from bench.store.measurements.inference import Inference
from bench.store.measurements.latency import Latency
from bench.store.measurements.ranks import Ranks
from bench.store.record import SCHEMA, Record, Timing


@dataclass
class UnfinishedCell:
    """A cell, and what was measured of it.

    Attributes:
        cell: what is measured.
        suite: the name of the sweep.
        untimed: the answer of the process whose passes are not timed; None until it has ended, or if there is none.
        timed: the answers of the processes that have timed the cell, in order.
        failure: how a process has ended that could not measure the cell; None as long as none has.
        crashes: the messages of earlier attempts that crashed, over all processes.
        attempts: how often a process was started, at most, until it did not crash.
        seconds: the wall-clock time of the processes, of those of a group the cell's part.
        apart: it is not timed in one process with others.
    """

    cell: Cell
    suite: str
    untimed: Answer | None = None
    timed: list[Answer] = field(default_factory=list)
    failure: Answer | None = None
    crashes: list[str] = field(default_factory=list)
    attempts: int = 1
    seconds: float = 0.0
    apart: bool = False

    @property
    def wants_untimed(self) -> bool:
        """Whether passes that are not timed are still to be run."""
        return self.failure is None and self.untimed is None and bool(untimed_passes(self.cell))

    @property
    def wants_timing(self) -> bool:
        """Whether a process is still to time it, once the other passes have run."""
        return self.failure is None and is_timed(self.cell) and len(self.timed) < self.cell.processes

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do: all was measured, or a process has failed."""
        return not self.wants_untimed and not self.wants_timing

    @property
    def has_begun(self) -> bool:
        """Whether something was measured."""
        return self.untimed is not None or bool(self.timed)

    @property
    def processes_left(self) -> int:
        """The number of processes that are still to run, if none fails."""
        if self.failure is not None:
            return 0
        wanted = self.cell.processes if is_timed(self.cell) else 0
        return int(self.wants_untimed) + max(0, wanted - len(self.timed))

    def ask(self, ask: Callable[[], Answer], retries: int, crashes: tuple[str, ...] = ()) -> Answer:
        """Runs one process until it does not crash, and keeps the answer.

        Args:
            ask: starts the process and waits for its end.
            retries: how often a crash is tried again, unless the answer is ``final``.
            crashes: the messages of attempts of this process that have crashed before.
        """
        failed = list(crashes)
        while True:
            start = time.perf_counter()
            answer = ask()
            self.seconds += time.perf_counter() - start
            if answer.status != "crashed" or answer.final or len(failed) >= retries:
                break
            failed.append(answer.message or "")
        self.crashes += failed
        self.attempts = max(self.attempts, len(failed) + 1)
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Adds the answer of the next process."""
        if answer.status != "ok":
            self.failure = answer
        elif self.wants_untimed:
            self.untimed = answer
        else:
            self.timed.append(answer)

    def record(self) -> Record:
        """Make the record of a finished cell."""
        answers = [answer for answer in (self.untimed, *self.timed, self.failure) if answer is not None]
        first, last = answers[0], answers[-1]
        work_seconds = [answer.work_seconds for answer in answers]
        timing = None
        if work_seconds[-1] is not None:  # None of a process that was killed
            work = sum(seconds or 0.0 for seconds in work_seconds)
            timing = Timing(work_seconds=work, overhead_seconds=self.seconds - work)
        if self.failure is not None:
            return self._record(last, self._failure_message(len(answers)), timing=timing)
        return self._record(
            first,
            first.message,
            timing=timing,
            memory=first.memory,
            latency=self._latency(),
            accuracy=first.accuracy,
            trace=last.trace,
            ranks=self._ranks(),
            inference=self._inference(first),
            environment=first.environment | self._findings(answers),
        )

    def _record(self, answer: Answer, message: str | None, **parts: Any) -> Record:
        last_crash = answer.message if answer.status == "crashed" else None
        earlier = [f"attempt {number} crashed: {text}" for number, text in enumerate(self.crashes, 1)]
        told = [text for text, crash in zip(earlier, self.crashes, strict=True) if crash != last_crash]
        return make_record(
            self.cell, self.suite, answer, self.attempts, "; ".join(filter(None, [message, *told])), **parts
        )

    def _failure_message(self, number: int) -> str | None:
        processes = int(bool(untimed_passes(self.cell))) + (self.cell.processes if is_timed(self.cell) else 0)
        message = None if self.failure is None else self.failure.message
        return f"process {number} of {processes}: {message}" if processes > 1 else message

    def _latency(self) -> Latency | None:
        samples = [answer.latency_sample for answer in self.timed if answer.latency_sample is not None]
        if not samples:
            return None
        from bench.analysis.latency import summarise
        from bench.analysis.locking import locked_share

        unreliable = dict.fromkeys(answer.unreliable_because for answer in self.timed)
        traces = [answer.trace for answer in self.timed if answer.trace is not None]
        locked = [share for share in map(locked_share, traces) if share is not None]
        return summarise(
            samples,
            self.cell.batch_size,
            shares=self.timed[-1].shares,
            is_baseline=self.cell.ranks == 1 and is_baseline(self.cell),
            unreliable_because=[reason for reason in unreliable if reason is not None],
        ).model_copy(update={"locked_shares": locked or None})

    def _inference(self, untimed: Answer) -> Inference | None:
        samples = [answer.inference_sample for answer in self.timed if answer.inference_sample is not None]
        if untimed.inference_bytes is None or not samples:
            return None
        from bench.analysis.predictions import summarise_predictions

        is_plain = self.cell.modules == 1
        return summarise_predictions(untimed.inference_bytes, samples, self.cell.batch_size, is_plain=is_plain)

    def _ranks(self) -> Ranks | None:
        parts = [answer.ranks for answer in (self.untimed, *self.timed[-1:]) if answer is not None and answer.ranks]
        if not parts:
            return None
        merged = {name: value for part in parts for name, value in part.model_dump().items() if value is not None}
        samples = [answer.one_rank_sample for answer in self.timed if answer.one_rank_sample is not None]
        if samples:
            from bench.analysis.latency import ratio_of_samples

            ratio = ratio_of_samples(samples)
            merged |= {
                "ratio_to_one_rank": ratio.value,
                "ratio_to_one_rank_ci95": (ratio.low, ratio.high),
                "one_rank_blocks_by_process": [len(sample.blocks_seconds) for sample in samples],
                "one_rank_blocks_seconds": [block for sample in samples for block in sample.blocks_seconds],
            }
        return Ranks.model_validate({name: merged.get(name) for name in Ranks.model_fields})

    @staticmethod
    def _findings(answers: list[Answer]) -> dict[str, Any]:
        found = {name: text for answer in answers for name, text in answer.environment.get("doctor", {}).items()}
        return {"doctor": found} if any("doctor" in answer.environment for answer in answers) else {}


def make_record(cell: Cell, suite: str, answer: Answer, attempts: int, message: str | None, **parts: Any) -> Record:
    """The record of ``cell`` that ends as ``answer``.

    Args:
        cell: the cell.
        suite: the name of the sweep.
        answer: gives what ``parts`` do not.
        attempts: how often the cell was started.
        message: of the record; empty for none.
        parts: fields of the record.
    """
    fields = dict.fromkeys(("memory", "latency", "accuracy", "inference", "trace", "ranks", "timing")) | {
        "data": answer.data,
        "layout": answer.layout,
        "parameters": answer.parameters,
        "environment": answer.environment or machine_environment(),
    }
    return Record(
        schema=SCHEMA,
        id=cell.id,
        status=answer.status,
        message=message or None,
        attempts=attempts,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=suite,
        cell=cell,
        **fields | parts,
    )
