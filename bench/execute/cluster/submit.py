"""Tasks as jobs of submitit: on a cluster with Slurm, or on this machine."""

import contextlib
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.analysis.words import numbered
from bench.errors import BenchError
from bench.execute.cluster.divide import Needs
from bench.execute.cluster.run_task import run_task
from bench.execute.cluster.scheduler import JobState
from bench.execute.cluster.settings import ClusterSettings

_LARGEST_ARRAY = 1000  # Slurm's usual MaxArraySize is 1001
_SHOWN_LINES = 3
_KEPT_BYTES = 4000


class SlurmScheduler:
    """Submits job arrays.

    There may be no accounting, so ``squeue`` is asked for states: it knows jobs for some minutes after their end.

    Args:
        settings: what a task asks of the cluster.
        logs: the folder for what submitit and tasks write.
        suite: the name of the sweep, which is in the names of the jobs.

    Raises:
        BenchError: submitit is not installed, or there is no Slurm here.
    """

    name = "slurm"
    capacity: int | None = None

    def __init__(self, settings: ClusterSettings, logs: Path, suite: str) -> None:
        self._settings = settings
        self._logs = logs
        self._suite = suite
        self._submitit = _import_submitit(self.name)
        if self._submitit.SlurmExecutor.affinity() < 0:
            raise BenchError(
                "--executor slurm: the commands of Slurm (sbatch, squeue) are not on PATH; run this on a login node of "
                "the cluster, or try --executor submitit-local"
            )

    def submit(self, folders: Sequence[Path], needs: Needs) -> list[str]:
        """Submits arrays of at most 1000 tasks."""
        return [
            job
            for first in range(0, len(folders), _LARGEST_ARRAY)
            for job in self._submit_array(folders[first : first + _LARGEST_ARRAY], needs)
        ]

    def _submit_array(self, folders: Sequence[Path], needs: Needs) -> list[str]:
        with _safe_path():
            executor = self._submitit.SlurmExecutor(self._logs, python=f"{shlex.quote(sys.executable)} -P")
            executor.update_parameters(**self._parameters(needs, len(folders)))
            try:
                jobs = executor.map_array(run_task, [str(folder) for folder in folders])
            except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
                reason = " ".join(str(error).split())
                raise BenchError(f"Slurm refused {numbered(len(folders), 'task')} of {self._suite}: {reason}") from None
        return [str(job.job_id) for job in jobs]

    def _parameters(self, needs: Needs, tasks: int) -> dict[str, Any]:
        """What submitit writes into the script of a job."""
        settings = self._settings
        gpus = f"{settings.gpu_type}:{needs.gpus}" if settings.gpu_type else needs.gpus
        memory = None if settings.memory is None else f"{settings.memory >> 20}M"
        return {
            "job_name": f"sid-bench-{self._suite}",
            "partition": settings.partition,
            "account": settings.account,
            "qos": settings.qos,
            "constraint": settings.constraint,
            "time": settings.time,
            "mem": memory,
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": settings.cpus_per_task or needs.cpus,
            "gpus_per_node": gpus if needs.gpus else None,
            "exclusive": True if needs.alone else None,
            "array_parallelism": settings.tasks_at_once or tasks,
            "setup": list(settings.setup) or None,
            "wckey": None,
            "stderr_to_stdout": True,
            "use_srun": False,  # a step of srun would get one CPU, whatever the job has
            "additional_parameters": {"requeue": True, **settings.sbatch},
        }

    def states(self, jobs: Collection[str]) -> Mapping[str, JobState] | None:
        """Asks ``squeue`` for all jobs of this user, since it refuses a list with a job that it has forgotten."""
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%r"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            return None
        found = {}
        for line in ended.stdout.splitlines():
            job, _, rest = line.partition("|")
            name, _, reason = rest.partition("|")
            if job in jobs:
                found[job] = JobState(name, "" if reason == "None" else reason)
        return found

    def cancel(self, jobs: Collection[str]) -> None:
        """Calls ``scancel``, a hundred jobs at a time."""
        ids = sorted(jobs)
        for first in range(0, len(ids), 100):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(  # noqa: S603
                    ["scancel", "--quiet", *ids[first : first + 100]],  # noqa: S607
                    capture_output=True,
                    timeout=60,
                    check=False,
                )

    def log(self, job: str) -> str:
        """Reads the file that the job prints to."""
        return _last_lines(self._logs / f"{job}_0_log.out")


class LocalScheduler:
    """Runs tasks on this machine, one after the other.

    Args:
        settings: of which the time limit and the setup of submitit's own kind apply.
        logs: the folder for what submitit and tasks write.

    Raises:
        BenchError: submitit is not installed.
    """

    name = "submitit-local"
    capacity: int | None = 1

    def __init__(self, settings: ClusterSettings, logs: Path) -> None:
        self._settings = settings
        self._logs = logs
        self._submitit = _import_submitit(self.name)
        self._own: dict[str, Any] = {}

    def submit(self, folders: Sequence[Path], needs: Needs) -> list[str]:
        """Starts a process for each task, and one that watches its time limit."""
        with _safe_path():
            executor = self._submitit.LocalExecutor(self._logs)
            executor.update_parameters(
                timeout_min=self._settings.time, gpus_per_node=needs.gpus, tasks_per_node=1, signal_delay_s=5
            )
            jobs = [executor.submit(run_task, str(folder)) for folder in folders]
        self._own |= {str(job.job_id): job for job in jobs}
        return [str(job.job_id) for job in jobs]

    def states(self, jobs: Collection[str]) -> Mapping[str, JobState] | None:
        """Looks for the processes."""
        return {job: JobState("RUNNING" if self._runs(job) else "FAILED") for job in jobs}

    def _runs(self, job: str) -> bool:
        if job in self._own:
            return not self._own[job].done()
        return self._process(job) is not None

    def cancel(self, jobs: Collection[str]) -> None:
        """Sends SIGTERM, which submitit's process hands on to the task."""
        for job in jobs:
            process = self._process(job)
            if process is not None:
                with contextlib.suppress(psutil.Error):
                    process.terminate()

    @staticmethod
    def _process(job: str) -> psutil.Process | None:
        """The process of submitit that watches a task; None if it has ended, or the id is another process's."""
        with contextlib.suppress(psutil.Error, ValueError):
            process = psutil.Process(int(job))
            if process.status() != psutil.STATUS_ZOMBIE and "submitit.local._local" in process.cmdline():
                return process
        return None

    def log(self, job: str) -> str:
        """Reads the file that the task prints errors to."""
        return _last_lines(self._logs / f"{job}_0_log.err")


def _import_submitit(executor: str) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise BenchError(
            f"--executor {executor} needs submitit, which cannot be imported ({error}); install it with pip install "
            "'sid-bench[cluster]'"
        ) from None
    logging.getLogger("submitit").setLevel(logging.ERROR)
    return submitit


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Makes the Python processes that are started inside take no module from the current folder."""
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _last_lines(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _KEPT_BYTES))
            lines = opened.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "; ".join(line.strip() for line in lines[-_SHOWN_LINES:])
