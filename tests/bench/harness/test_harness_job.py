"""Sweeps over the ranks of a job: started by ``torchrun`` and by hand, ranks that end, and what is refused."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from harness_tools import (
    RANK_RULE,
    TOKEN,
    Launcher,
    bench_command,
    bench_environment,
    sound_records,
    write_plugin,
    write_sweep,
)

from bench.config.check import make_cell
from bench.config.sweep import load_sweep
from bench.errors import BenchError, ConfigError
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.job import gathering, leader
from bench.execute.job.channel import Channel, GoneError
from bench.execute.job.follower import follow
from bench.execute.job.gathering import Gathering, join
from bench.execute.job.leader import JobExecutor
from bench.execute.job.place import place_from_environment
from bench.execute.messages import INTERRUPTED, Answer, Call, Hello, Place
from bench.execute.network import interface_towards
from bench.execute.run import Watcher, run_sweep
from bench.store.file import Store
from bench.store.record import Record

SIZES: dict[str, Any] = {
    "dataset": "digits",
    "train_samples": 100,
    "depth": 4,
    "batch_size": 12,
    "threads": 1,
    "ranks": 2,
    "latency_seconds": 0.01,
}
CASCADE = SIZES | {"network": "cascade-linear"}
PIPELINE = SIZES | {"method": "sid-pipelined", "network": "pipeline-linear", "passes": ["memory", "accuracy"]}
FAILURES = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "time.sleep(600)",
    "without-command": "os.kill(psutil.Process().parent().ppid(), signal.SIGKILL); time.sleep(600)",
}


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rules = {name: RANK_RULE.format(failure=code) for name, code in FAILURES.items()}
    return write_plugin(tmp_path_factory.mktemp("rules") / "plugins", "job_rules", rules)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Job:
    """A sweep in two parts: torchrun's job, whose last cell ends a command, and another one that goes on from there."""

    first: Ended
    first_records: dict[str, Record]
    second: list[Ended]
    records: dict[str, Record]
    networks: str | None  # why the second job was not in two networks


def start_ranks(
    launcher: Launcher, address: str, *arguments: object, prefixes: Sequence[Sequence[str]] = ((), ())
) -> list[Ended]:
    """Runs the command of both ranks to its end, as a person would start them by hand."""
    port = free_port("127.0.0.1")
    started = []
    for rank, prefix in enumerate(prefixes):
        variables = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
        variables |= {"MASTER_ADDR": address, "MASTER_PORT": port, TOKEN: launcher.token}
        started.append(
            subprocess.Popen(
                [*prefix, *bench_command(["run", *arguments, "--executor", "torchrun", "--quiet"])],
                env=launcher.environment | {name: str(value) for name, value in variables.items()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [command.communicate(timeout=200) for command in started]
    return [Ended(command.returncode, *texts) for command, texts in zip(started, said, strict=True)]


@contextmanager
def two_networks() -> Iterator[tuple[Sequence[Sequence[str]], str, str | None]]:
    """Two network namespaces that a cable joins: how to enter each, the address of the first, why there are none."""
    one, other = (f"sidbench{os.getpid()}{end}" for end in "ab")
    steps = [
        f"netns add {one}",
        f"netns add {other}",
        f"-n {one} link add sideA type veth peer name sideB netns {other}",
        f"-n {one} address add 10.213.77.1/24 dev sideA",
        f"-n {other} address add 10.213.77.2/24 dev sideB",
        *(f"-n {name} link set {link} up" for name, link in ((one, "sideA"), (other, "sideB"))),
        *(f"-n {name} link set lo up" for name in (one, other)),
    ]
    missing = None if os.geteuid() == 0 and shutil.which("ip") else "network namespaces need root and the command ip"
    try:
        for step in steps if missing is None else []:
            ended = subprocess.run(["ip", *step.split()], capture_output=True, text=True, check=False)
            if ended.returncode:
                missing = f"no network namespaces here: ip {step}: {ended.stderr.strip()}"
                break
        if missing is None:
            yield [["ip", "netns", "exec", name] for name in (one, other)], "10.213.77.1", None
        else:
            yield ((), ()), "127.0.0.3", missing
    finally:
        if missing is None:
            for name in (one, other):
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def job(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """No process of it is left."""
    folder = tmp_path_factory.mktemp("job")
    results = folder / "results.jsonl"
    sweep = write_sweep(
        folder / "sweep.toml",
        CASCADE | {"method": "sid-parallel", "passes": ["memory", "latency", "accuracy"]},
        CASCADE | {"method": "killed", "passes": ["memory"]},
        PIPELINE,
        CASCADE | {"method": "without-command", "passes": ["memory"]},
    )
    launcher = Launcher(folder.name, bench_environment(plugins))
    arguments = (sweep, "--out", results, "--retries", 0)
    starter = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    at = ["--master-addr", "127.0.0.2", "--master-port", str(free_port("127.0.0.2"))]
    ended = subprocess.run(
        [*starter, *at, *bench_command(["run", *arguments, "--executor", "torchrun"])],
        env=launcher.environment | {TOKEN: launcher.token},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    launcher.assert_none_survives()
    first_records = {record.cell.method: record for record in sound_records(results)}
    with two_networks() as (prefixes, address, missing):
        second = start_ranks(launcher, address, *arguments, prefixes=prefixes)
    launcher.assert_none_survives()
    return Job(
        first=Ended(ended.returncode, ended.stdout, ended.stderr),
        first_records=first_records,
        second=second,
        records={record.cell.method: record for record in sound_records(results)},
        networks=missing,
    )


@pytest.fixture(scope="module")
def on_this_host(tmp_path_factory: pytest.TempPathFactory, server: ForkServer) -> dict[str, Record]:
    """The same cells on ranks that one command has started."""
    folder = tmp_path_factory.mktemp("local")
    sweep = write_sweep(
        folder / "sweep.toml", CASCADE | {"method": "sid-parallel", "passes": ["memory", "accuracy"]}, PIPELINE
    )
    with Store(folder / "results.jsonl") as store:
        run_sweep(load_sweep(str(sweep)), store, ForkServerExecutor(ExecutorSettings(), server), Watcher())
    return {record.cell.method: record for record in sound_records(folder / "results.jsonl")}


@pytest.mark.parametrize("method", ["sid-parallel", "sid-pipelined"])
@pytest.mark.long
def test_a_job_gives_the_bytes_and_accuracies_of_ranks_on_one_host(
    job: Job, on_this_host: dict[str, Record], method: str
) -> None:
    record, expected = job.records[method], on_this_host[method]
    assert (record.status, expected.status) == ("ok", "ok"), (record.message, expected.message)
    assert record.ranks is not None
    assert expected.ranks is not None
    assert record.ranks.peak_total_bytes == expected.ranks.peak_total_bytes
    assert record.ranks.peak_activation_bytes == expected.ranks.peak_activation_bytes
    assert record.ranks.modules == expected.ranks.modules
    assert record.accuracy == expected.accuracy
    assert record.accuracy is not None
    assert record.environment["hosts"] == 1
    assert record.environment["ranks"] == 2
    assert record.environment["threads"] == 1


def test_a_process_of_a_rank_that_is_killed_is_a_record_and_the_job_goes_on(job: Job) -> None:
    record = job.records["killed"]
    assert (record.status, record.message) == ("crashed", "rank 1 of 2: killed by signal 9 (SIGKILL)")
    assert job.first_records["sid-pipelined"].status == "ok"


def test_a_command_that_ends_is_the_failure_of_its_cell_and_ends_the_job(job: Job) -> None:
    assert list(job.first_records) == ["killed", "sid-pipelined", "without-command"]
    record = job.first_records["without-command"]
    assert record.status == "crashed"
    assert record.message == f"rank 1 of 2: its command on {socket.gethostname()} has ended"
    assert job.first.code == 1, "torchrun's own code"
    assert "no cell can run: the command of rank 1 of 2 on" in " ".join(job.first.errors.split())


def test_another_job_goes_on_and_times_what_is_left(job: Job) -> None:
    assert [ended.code for ended in job.second] == [0, 0], job.second
    assert "1 cell measured, 1 ok, 3 stored before" in job.second[0].output
    assert job.second[1].output == "", "rank 0 alone prints"
    assert len(job.records) == 4
    record = job.records["sid-parallel"]
    assert record.latency is not None
    assert record.ranks is not None
    assert record.ranks.ratio_to_one_rank is not None
    assert record.trace is not None
    assert set(record.trace.rank) == {0, 1}


def test_the_other_job_was_in_two_networks(job: Job) -> None:
    if job.networks is not None:
        pytest.skip(job.networks)
    assert job.records["sid-parallel"].status == "ok"


@pytest.mark.slow
def test_a_rank_that_hangs_is_ended_and_its_server_starts_again(plugins: Path, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path.name, bench_environment(plugins))
    sweep = write_sweep(tmp_path / "sweep.toml", CASCADE | {"method": ["hangs", "sid-parallel"]})
    arguments = (sweep, "--out", tmp_path / "results.jsonl", "--retries", 0, "--cell-timeout", 20)
    assert [ended.code for ended in start_ranks(launcher, "127.0.0.2", *arguments)] == [0, 0]
    hung, following = sound_records(tmp_path / "results.jsonl")
    assert (hung.status, hung.message) == ("crashed", "rank 1 of 2: did not respond; another rank waited 10 s for it")
    assert following.status == "ok", following.message
    launcher.assert_none_survives()


def place(rank: int = 0, ranks: int = 2, port: int | None = None) -> Place:
    here = {"local_rank": rank, "local_ranks": ranks, "device": rank, "devices": ranks}
    return Place(rank=rank, ranks=ranks, **here, address="127.0.0.2", port=port or free_port("127.0.0.2"))


def in_thread(action: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=action, args=arguments, daemon=True)
    thread.start()
    return thread


def test_ranks_that_do_not_come_are_named() -> None:
    with pytest.raises(BenchError, match=r"of 3 ranks, 1, 2 had not come after 0\.3 s; legal: the same command"):
        Gathering(place(ranks=3), seconds=0.3)


def test_a_missing_rank_0_is_named() -> None:
    with pytest.raises(
        BenchError, match=r"rank 1 cannot reach the store at MASTER_ADDR = 127\.0\.0\.2, MASTER_PORT = "
    ):
        join(place(rank=1), seconds=0.3)


def test_a_stranger_is_not_let_in_and_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = place()
    leaders: list[Gathering | BenchError] = []

    def gather() -> None:
        try:
            leaders.append(Gathering(first, seconds=20))
        except BenchError as error:
            leaders.append(error)

    thread = in_thread(gather)
    store = gathering._open_store(place(rank=1, port=first.port), 20)
    port, token = store.get(gathering._key(first)).decode().split()
    for hello in (b"GET / HTTP/1.1\n", Hello(token="0" * 32, rank=1, host="h", versions={}).line()):
        with socket.create_connection(("127.0.0.2", int(port))) as stranger:
            stranger.sendall(hello)
            assert stranger.recv(1) == b"", "it is hung up on"
    monkeypatch.setattr(gathering, "_SAME", ("sid_bench",))
    channel = Channel(socket.create_connection(("127.0.0.2", int(port))))
    channel.send(Hello(token=token, rank=1, host="far", versions={"sid_bench": "0.0.1"}))
    thread.join(20)
    (error,) = leaders
    assert "rank 1 on far has sid_bench = 0.0.1 and rank 0 has " in str(error)
    with pytest.raises(GoneError):
        channel.receive(20)


def test_a_follower_ends_with_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its word, or because it is gone."""
    for ends_well in (True, False):
        first = place()
        variables = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": first.address, "MASTER_PORT": str(first.port)}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        endings: list[str] = []

        def take_part(endings: list[str] = endings) -> None:
            try:
                follow(ExecutorSettings())
                endings.append("")
            except BenchError as error:
                endings.append(str(error))

        thread = in_thread(take_part)
        gathered = Gathering(first, seconds=20)
        if ends_well:
            gathered.followers[0].channel.send(Call(task="cancel"))  # of a process that has ended meanwhile
            gathered.followers[0].channel.send(Call(task="end"))
        gathered.close()
        thread.join(20)
        expected = (
            "" if ends_well else f"--executor torchrun: rank 0 of 2 at {first.address} has ended, and rank 1 with it"
        )
        assert endings == [expected]


class WaitingRank:
    """In the place of the own rank of rank 0: its process goes on until it is cancelled."""

    def __init__(self, *_: object) -> None:
        self._cancelled = threading.Event()

    def answer(self, _call: Call) -> Answer:
        self._cancelled.wait(60)
        return Answer(status="crashed", message="was ended", caused_by_another_rank=True)

    def cancel(self) -> None:
        self._cancelled.set()


def lead(monkeypatch: pytest.MonkeyPatch, first: Place) -> JobExecutor:
    variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": first.address, "MASTER_PORT": str(first.port)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(leader, "OwnRank", WaitingRank)
    return JobExecutor(ExecutorSettings())


def test_a_rank_that_is_interrupted_interrupts_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cell has not failed, and runs again when the job does."""
    first = place()

    def follower() -> None:
        channel = join(place(rank=1, port=first.port), seconds=20)
        channel.receive(20)
        channel.send(INTERRUPTED)
        channel.close()

    thread = in_thread(follower)
    with lead(monkeypatch, first) as executor, pytest.raises(KeyboardInterrupt):
        executor.check(make_cell(CASCADE | {"method": "sid-parallel", "passes": ["memory"]}))
    thread.join(20)


def test_a_signal_because_a_rank_has_ended_leaves_time_for_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun sends it to all commands when one has ended."""
    first = place()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def follower() -> None:
        channel = join(place(rank=1, port=first.port), seconds=20)
        channel.receive(20)
        channel.close()
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        thread = in_thread(follower)
        with lead(monkeypatch, first) as executor:
            cell = make_cell(CASCADE | {"method": "sid-parallel", "passes": ["memory"]})
            answer = executor.check(cell)
            thread.join(20)
            assert (answer.status, answer.final) == ("crashed", True)
            assert answer.message == f"rank 1 of 2: its command on {socket.gethostname()} has ended"
            with pytest.raises(
                BenchError, match=r"no cell can run: the command of rank 1 of 2 on .* has ended; the same"
            ):
                executor.check(cell)
    finally:
        signal.signal(signal.SIGTERM, before)


SRUN = {
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1,2(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08],big-[1,3]x",
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_ID": "2",
}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
TORCHRUN |= {"MASTER_ADDR": "login", "MASTER_PORT": "29500"}


def test_torchrun_says_where_a_rank_is() -> None:
    assert place_from_environment(TORCHRUN | SRUN) == Place(
        rank=3, ranks=4, local_rank=1, local_ranks=2, address="login", port=29500, device=1, devices=2
    )


def test_srun_says_where_a_rank_is() -> None:
    expected = Place(rank=4, ranks=5, local_rank=1, local_ranks=2, address="gpu07", port=20347, device=1, devices=2)
    assert place_from_environment(SRUN) == expected
    chosen = {"MASTER_ADDR": "10.0.0.9", "MASTER_PORT": "4000"}
    assert place_from_environment(SRUN | chosen) == expected.model_copy(update={"address": "10.0.0.9", "port": 4000})
    own_gpu = place_from_environment(SRUN | {"SLURM_GPUS_PER_TASK": "1"})
    assert (own_gpu.device, own_gpu.devices) == (0, 1)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("n[3-5,9]", "n3"), ("r[1-2]n[08-10],x", "r1n08"), ("a-b[2,4].org,c", "a-b2.org")],
)
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert place_from_environment(SRUN | {"SLURM_STEP_NODELIST": nodes}).address == first


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set; legal: a command that torchrun or srun has started"),
        (TORCHRUN | {"MASTER_ADDR": ""}, "MASTER_ADDR not set"),
        (TORCHRUN | {"RANK": "4"}, "RANK = '4'; legal: a whole number from 0 to 3"),
        (TORCHRUN | {"RANK": "-1"}, "RANK = '-1'; legal: a whole number from 0 to 3"),
        (TORCHRUN | {"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two'; legal: a whole number of 1 or more"),
        (TORCHRUN | {"MASTER_PORT": "70000"}, "MASTER_PORT = '70000'; legal: a whole number from 1 to 65535"),
        (TORCHRUN | {"LOCAL_RANK": "2"}, "LOCAL_RANK = '2'; legal: a whole number from 0 to 1"),
        (SRUN | {"SLURM_STEP_TASKS_PER_NODE": "2x3"}, "SLURM_STEP_TASKS_PER_NODE = '2x3'; legal: numbers as srun"),
        (SRUN | {"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST = ''; legal: hosts as srun writes them"),
        (SRUN | {"SLURM_LOCALID": "2"}, "SLURM_LOCALID = '2'; legal: a whole number from 0 to 1"),
        ({name: SRUN[name] for name in SRUN if name != "SLURM_PROCID"}, "SLURM_PROCID is not set; legal: a whole"),
    ],
)
def test_variables_that_make_no_job_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place_from_environment(variables)
    assert message in str(caught.value)


@pytest.mark.parametrize("rank", [0, 1])
def test_cells_on_another_number_of_ranks_are_refused(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, str(rank) if name == "RANK" else value)
    sweep = write_sweep(tmp_path / "sweep.toml", CASCADE | {"method": "sid-parallel", "ranks": [4, 2]})
    arguments = ("run", sweep, "--executor", "torchrun", "--out", tmp_path / "results.jsonl")
    ended = cli(*arguments)
    assert ended.exit_code == 2
    assert "--executor torchrun was started with 4 ranks; legal: 4, as by --only ranks=4 or --ranks 4" in " ".join(
        ended.stderr.split()
    )
    assert not (tmp_path / "results.jsonl").exists()
    listed = cli(*arguments, "--only", "ranks=4", "--dry-run")
    assert listed.exit_code == 0, listed.stderr
    assert ("ranks 4" in listed.stdout) == (rank == 0), "the other ranks print nothing"


def test_an_interface_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    for meet in (lambda: Gathering(place(), seconds=1), lambda: join(place(rank=1), seconds=1)):
        with pytest.raises(
            ConfigError, match="GLOO_SOCKET_IFNAME = 'nowhere0'; legal: a network interface of this host"
        ):
            meet()


def test_the_interface_is_that_of_the_way_to_rank_0() -> None:
    assert interface_towards("127.0.0.3", 1) == ("lo0" if sys.platform == "darwin" else "lo")
    assert interface_towards("no.such.host.invalid", 1) is None
