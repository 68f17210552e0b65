"""The ways to run the processes of a sweep, by the names that ``--executor`` takes.

A row names its code as ``package.module:function``, which is imported when the way is chosen. There are two kinds. One
makes an :class:`~bench.execute.executor.Executor`, which a sweep of this process asks for one process of a cell after
the other. The other hands whole parts of the sweep to other machines and collects their records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bench.errors import ConfigError, unknown


@dataclass(frozen=True)
class ExecutorRow:
    """A way to run a sweep; either ``make`` or ``drive`` is given.

    Attributes:
        name: the value of ``--executor``.
        summary: a line for ``--help``.
        make: makes the executor from :class:`~bench.execute.executor.ExecutorSettings`.
        drive: measures the cells of a sweep that a store lacks, as
            :func:`bench.execute.cluster.drive.drive_slurm` does.
        in_job: it needs a command on every rank of a job; those of other ranks than 0 follow that of rank 0, see
            :func:`bench.execute.job.follower.follow`.
    """

    name: str
    summary: str
    make: str | None = None
    drive: str | None = None
    in_job: bool = False

    @property
    def submits(self) -> bool:
        """Whether tasks are submitted to machines that a file of the user's describes."""
        return self.drive is not None

    def function(self) -> Callable[..., Any]:
        """The function of the row, imported."""
        module, _, name = (self.make or self.drive or "").partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


LOCAL = "local"
_ROWS = (
    ExecutorRow(LOCAL, "on this machine", make="bench.execute.fork_executor:ForkServerExecutor"),
    ExecutorRow(
        "submitit-local",
        "as tasks of submitit on this machine, one after the other: a try of slurm",
        drive="bench.execute.cluster.drive:drive_local",
    ),
    ExecutorRow("slurm", "as job arrays on a cluster with Slurm", drive="bench.execute.cluster.drive:drive_slurm"),
    ExecutorRow(
        "torchrun",
        "on the ranks of a job, each of which torchrun or srun has started with this command",
        make="bench.execute.job.leader:JobExecutor",
        in_job=True,
    ),
)
EXECUTORS = {row.name: row for row in _ROWS}


def executor_row(name: str) -> ExecutorRow:
    """The row with the name.

    Raises:
        ConfigError: there is none.
    """
    if name not in EXECUTORS:
        raise ConfigError(unknown("executor", name, EXECUTORS))
    return EXECUTORS[name]
