"""The interface of whatever runs tasks, and what the end of a task says about its cells."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.execute.cluster.divide import Needs

# States of Slurm in which a job has not ended yet; in all others it has.
_ALIVE = frozenset(
    [
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "COMPLETING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESV_DEL_HOLD",
        "RESIZING",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
    ]
)
_ENDED_BY_SOMEBODY = frozenset({"CANCELLED", "DEADLINE", "REVOKED"})
_ENDED_BY_SLURM = frozenset({"PREEMPTED"})


@dataclass(frozen=True)
class JobState:
    """The state of a job.

    Attributes:
        name: as Slurm names it, in capitals.
        reason: why it waits, or empty.
    """

    name: str
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.name not in _ALIVE

    @property
    def was_cancelled(self) -> bool:
        """Whether a person, or a rule that a person has made, has ended it: its cells wait for the next run."""
        return self.name in _ENDED_BY_SOMEBODY

    @property
    def was_displaced(self) -> bool:
        """Whether it made room for another job, which says nothing about its cells."""
        return self.name in _ENDED_BY_SLURM


UNKNOWN = JobState("UNKNOWN")


class Scheduler(Protocol):
    """Runs tasks, each of which is :func:`bench.execute.cluster.run_task.run_task` with the path of its folder.

    Attributes:
        name: of the executor.
        capacity: how many tasks it takes at a time; None: it has a queue.
    """

    name: str
    capacity: int | None

    def submit(self, folders: Sequence[Path], needs: Needs) -> list[str]:
        """Submits a task for each folder, all of which need the same; returns the ids of their jobs, in order.

        Raises:
            BenchError: they were refused.
        """

    def states(self, jobs: Collection[str]) -> Mapping[str, JobState] | None:
        """The states of jobs, without those that the scheduler does not know; None if it does not answer now."""

    def cancel(self, jobs: Collection[str]) -> None:
        """Ends jobs; those that have ended already stay as they are."""

    def log(self, job: str) -> str:
        """The last lines that a job has printed, joined by semicolons; empty if there are none."""
