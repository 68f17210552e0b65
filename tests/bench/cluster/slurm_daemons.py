"""A cluster with Slurm on this machine: munged, slurmctld and slurmd with folders and ports of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from harness_tools import wait_until

from bench.machine.descendants import die_with_parent

_SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_no_slurm() -> str | None:
    """Why no Slurm can be started here; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "Slurm is started by root on Linux"
    missing = [name for name in _NEEDED if shutil.which(name, path=_SEARCHED) is None]
    return f"not installed (Debian: slurm-wlm, munge): {', '.join(missing)}" if missing else None


class Slurm:
    """A running cluster of one node with two CPUs; a context manager.

    Args:
        folder: for its files.

    Attributes:
        environment: the variables with which its commands reach it.
        node: the name of its node.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.node = socket.gethostname().partition(".")[0]
        configuration = folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(configuration), "PATH": _SEARCHED}
        ports = _free_ports(2)
        configuration.write_text(
            _CONFIGURATION.format(host=self.node, folder=folder, controller_port=ports[0], node_port=ports[1])
        )
        if _version() >= 23:
            (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self._key = folder / "munge.key"
        self._key.write_bytes(os.urandom(1024))
        self._key.chmod(0o400)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = self._folder
            munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "log-file", "pid-file")]
            munge += [f"--seed-file={folder}/munge.seed", f"--key-file={self._key}"]
            self._start(stack, ["munged", "--foreground", "--force", *munge])
            assert wait_until((folder / "munge.socket").exists, 20), self.logs()
            self._start(stack, ["slurmctld", "-D"])
            self._start(stack, ["slurmd", "-D"])
            assert wait_until(lambda: self._state() == "idle", 60), self.logs()
            stack.callback(self.cancel_all)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack, command: list[str]) -> None:
        output = stack.enter_context((self._folder / f"{command[0]}.output").open("wb"))
        daemon = subprocess.Popen(
            [shutil.which(command[0], path=_SEARCHED) or command[0], *command[1:]],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

        self._daemons.append(daemon)

        def stop() -> None:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

        stack.callback(stop)

    @property
    def runs(self) -> bool:
        """Whether all daemons run."""
        return all(daemon.poll() is None for daemon in self._daemons)

    def run(self, *command: str) -> str:
        """The output of a command of Slurm."""
        ended = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, (command, ended.stderr)
        return ended.stdout

    def jobs(self, *states: str) -> list[str]:
        """The ids of the jobs, each task of an array by itself, that are in one of the states."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T").splitlines()
        return [job for job, state in map(str.split, lines) if state in states]

    def set_node(self, state: str) -> None:
        """Drains the node, takes it down or takes it up again."""
        self.run("scontrol", "update", f"NodeName={self.node}", f"State={state}", "Reason=test")

    def resume_node(self) -> None:
        """Takes the node up again, if it was drained or is down."""
        if not self._state().startswith(("idle", "mix", "alloc", "comp")):
            self.set_node("RESUME")

    def cancel_all(self) -> None:
        """Cancels all jobs and waits for their end."""
        if not self.runs:
            return
        self.run("scancel", "--quiet", "--user=root")
        wait_until(lambda: not self.jobs("RUNNING", "PENDING", "COMPLETING"), 30)

    def logs(self) -> str:
        """The ends of the logs of all daemons."""
        files = [*self._folder.glob("*.log"), *self._folder.glob("*.output")]
        return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-2000:]}" for file in files)

    def _state(self) -> str:
        ended = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.stdout.strip()


def _version() -> int:
    output = subprocess.run(
        [shutil.which("slurmctld", path=_SEARCHED) or "slurmctld", "-V"], capture_output=True, text=True, check=True
    ).stdout
    return int(output.split()[1].partition(".")[0])


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
