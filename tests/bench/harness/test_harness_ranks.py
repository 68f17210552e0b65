"""Cells on several ranks, with real processes: their records, and how the failure of one rank ends the cell."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import RunCli
from harness_tools import RANK_RULE, Launcher, bench_environment, run_bench, sound_records, write_plugin, write_sweep

from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.execute.device import use_device
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.messages import Limits, Place
from bench.execute.rank_meeting import context_at
from bench.execute.run import Watcher, run_sweep
from bench.store.file import Store
from bench.store.record import Record

SIZES: dict[str, Any] = {"dataset": "random", "image_size": 4, "depth": 4, "batch_size": 12, "threads": 1}
PIPELINE = SIZES | {"network": "pipeline-linear"}
SCHEDULES = ["bp-gpipe", "bp-1f1b", "bp-zb1p", "bp-zbv"]

# SID batch after batch, as sid-pipelined, in shorter runs.
SHORT_RUNS = """SUMMARY = "a rule of the tests"
USES_ALPHA = True
ON_ONE_RANK = "sid-streamed"


def on_ranks(network):
    import dataclasses
    from bench.train.rules.sid_on_ranks import pipelined_share as on_ranks

    return dataclasses.replace(on_ranks(network), run_length=7)
"""

FAILURES = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "exits": "os._exit(7)",
    "raises": 'raise ValueError("no more")',
    "fills-memory": "hoard = [torch.ones(1 << 22) for _ in range(10_000)]",
    "hangs": "time.sleep(600)",
}
ENDINGS = {
    "killed": ("crashed", "rank 2 of 3: killed by signal 9 (SIGKILL)"),
    "exits": ("crashed", "rank 2 of 3: exited with code 7 and without a result"),
    "raises": ("crashed", "rank 2 of 3: ValueError: no more"),
    "fills-memory": ("oom", "rank 2 of 3: RuntimeError: [enforce fail"),
    "hangs": ("crashed", "rank 2 of 3: did not respond; another rank waited 4 s for it"),
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The record of a cell for each failure, and of an ordinary one after them, as plain JSON; no process is left."""
    folder = tmp_path_factory.mktemp("failures")
    plugins = write_plugin(
        folder / "plugins", "rank_rules", {name: RANK_RULE.format(failure=code) for name, code in FAILURES.items()}
    )
    shared = SIZES | {"network": "cascade-linear", "ranks": 3}
    sweep = write_sweep(folder / "sweep.toml", shared | {"method": [*FAILURES, "sid-parallel"]})
    launcher = Launcher(folder.name, bench_environment(plugins))
    run = launcher.start(
        *("run", sweep, "--out", folder / "results.jsonl", "--retries", 0),
        *("--cell-timeout", 8, "--memory-limit", "1200MiB"),
        cwd=folder,
    )
    output, errors = run.communicate(timeout=200)
    assert run.returncode == 0, output + errors
    launcher.assert_none_survives()
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return {record["cell"]["method"]: record for record in records}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.long
def test_the_failure_of_one_rank_ends_the_cell_and_the_message_names_the_rank(
    failures: dict[str, dict[str, Any]], failure: str
) -> None:
    status, message = ENDINGS[failure]
    record = failures[failure]
    assert (record["status"], record["message"][: len(message)]) == (status, message)
    assert record["memory"] is record["ranks"] is None


def test_the_sweep_goes_on_after_failures(failures: dict[str, dict[str, Any]]) -> None:
    assert failures["sid-parallel"]["status"] == "ok"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, server: ForkServer) -> list[Record]:
    """The memory pass of each method on 3 ranks, three of them with two seeds, and of SID's pipeline on 2."""
    folder = tmp_path_factory.mktemp("measured")
    sweep = write_sweep(
        folder / "sweep.toml",
        PIPELINE | {"method": ["sid-pipelined", *SCHEDULES], "depth": 6, "ranks": 3},
        PIPELINE | {"method": ["sid-pipelined", "bp-zbv"], "depth": 6, "ranks": 3, "seed": 1},
        PIPELINE | {"method": "sid-pipelined", "ranks": 2},
        SIZES | {"network": "cascade-linear", "method": "sid-parallel", "ranks": 3, "seed": [0, 1]},
    )
    executor = ForkServerExecutor(ExecutorSettings(pin=True), server)
    with Store(folder / "results.jsonl") as store:
        run_sweep(load_sweep(str(sweep)), store, executor, Watcher())
    return list(sound_records(folder / "results.jsonl"))


@pytest.mark.long
def test_a_record_has_the_bytes_of_each_rank_and_the_memory_of_the_largest(measured: list[Record]) -> None:
    assert len(measured) == 10
    for record in measured:
        assert record.status == "ok", record.message
        assert record.ranks is not None
        assert record.memory is not None
        activations, totals = record.ranks.peak_activation_bytes, record.ranks.peak_total_bytes
        assert activations is not None
        assert totals is not None
        assert len(activations) == len(totals) == len(record.ranks.modules) == record.cell.ranks
        assert sum(record.ranks.modules) == record.cell.modules
        assert min(record.ranks.modules) >= 1
        assert record.memory.peak_activation_bytes == max(activations) > 0
        assert record.memory.peak_total_bytes == totals[activations.index(max(activations))]
        assert record.memory.at_peak is not None
        assert sum(record.memory.at_peak.model_dump().values()) == max(activations)
        assert record.ranks.ratio_to_one_rank is record.ranks.busy_share is record.latency is record.trace is None


def test_ranks_are_bound_to_as_many_cpus_as_they_have_threads(measured: list[Record]) -> None:
    usable = os.sched_getaffinity(0)
    for record in measured:
        pinned = record.environment["pinned_cpus"]
        assert set(pinned) <= usable
        assert len(pinned) == min(record.cell.ranks, len(usable))
        assert record.environment["threads"] == 1


def place_on_this_host(rank: int, ranks: int) -> Place:
    here = {"local_rank": rank, "local_ranks": ranks, "device": rank, "devices": ranks}
    return Place(rank=rank, ranks=ranks, **here, address="127.0.0.1", port=1)


def test_a_rank_is_bound_to_its_share_of_the_cpus() -> None:
    usable = sorted(os.sched_getaffinity(0))
    try:
        for ranks in (1, len(usable), len(usable) + 1):
            contexts = [context_at(place_on_this_host(rank, ranks), Limits(timeout_seconds=1)) for rank in range(ranks)]
            assert {context.threads() for context in contexts} == {max(1, len(usable) // ranks)}
            taken = [context.bind_to_share(usable) for context in contexts]
            expected = [usable] * ranks if ranks > len(usable) else [usable[at::ranks] for at in range(ranks)]
            assert taken == expected
            os.sched_setaffinity(0, usable)
        assert contexts[0].bind_to_share(None) is None
    finally:
        os.sched_setaffinity(0, usable)


def test_each_rank_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="ranks = 2 on device 'cuda' needs one GPU per rank; legal: 1 to 1"):
        use_device("cuda", 2, None)


def test_bytes_do_not_depend_on_the_seed(measured: list[Record]) -> None:
    """A seed changes weights and the order of events between ranks, but no size.

    The timeline and the allocator are left out: gloo frees its buffers in a thread of its own, at any time
    after the peak.
    """
    by_method: dict[str, list[Any]] = {}
    for record in measured:
        if record.cell.ranks == 3:
            by_method.setdefault(record.cell.method, []).append(
                (record.ranks, record.memory and record.memory.model_dump(exclude={"timeline", "allocator"}))
            )
    twice = {method: found for method, found in by_method.items() if len(found) == 2}
    assert set(twice) == {"sid-pipelined", "bp-zbv", "sid-parallel"}
    for first, second in twice.values():
        assert first == second


def test_a_rank_of_a_pipeline_holds_less_than_the_whole(measured: list[Record]) -> None:
    """Parameters, gradients and optimizer state are those of its own stages."""
    for record in measured:
        if record.cell.method != "sid-parallel":  # which has the trunk everywhere
            assert record.memory is not None
            assert record.parameters is not None
            assert record.memory.parameter_bytes < 4 * record.parameters
        assert record.memory is not None
        assert record.memory.allocator is not None
        assert abs(record.memory.allocator.disagreement) < 0.01


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The latency pass of one method of each kind, run with ``--ranks``."""
    folder = tmp_path_factory.mktemp("timed")
    passes = {"passes": ["memory", "latency"], "depth": 2, "latency_seconds": 0.01}
    sweep = write_sweep(
        folder / "sweep.toml",
        PIPELINE | passes | {"method": ["bp-1f1b", "short-runs"]},
        SIZES | passes | {"method": "sid-parallel", "network": "cascade-linear"},
    )
    plugins = write_plugin(folder / "plugins", "short_rules", {"short-runs": SHORT_RUNS})
    ended = run_bench(
        *("run", sweep, "--ranks", 2, "--out", folder / "results.jsonl"),
        cwd=folder,
        environment=bench_environment(plugins),
    )
    assert ended.returncode == 0, ended.stderr
    return {record.cell.method: record for record in sound_records(folder / "results.jsonl")}


@pytest.mark.parametrize("method", ["bp-1f1b", "short-runs", "sid-parallel"])
@pytest.mark.long
def test_the_latency_pass_compares_several_ranks_with_one(timed: dict[str, Record], method: str) -> None:
    record = timed[method]
    assert record.status == "ok", record.message
    latency, ranks, trace = record.latency, record.ranks, record.trace
    assert latency is not None
    assert ranks is not None
    assert trace is not None
    assert record.cell.ranks == 2
    assert record.environment["threads"] == 1
    assert sum(latency.blocks_by_process) == len(latency.blocks_seconds) >= 10
    assert latency.loops == 7 or method != "short-runs"
    assert ranks.ratio_to_one_rank is not None
    assert ranks.ratio_to_one_rank_ci95 is not None
    low, high = ranks.ratio_to_one_rank_ci95
    assert 0 < low <= ranks.ratio_to_one_rank <= high
    assert (ranks.ratio_to_one_rank == latency.ratio_to_bp) == (method == "bp-1f1b")
    assert ranks.bound is not None
    assert 0.5 <= ranks.bound < 1.5
    assert ranks.busy_share is not None
    assert all(0 < share < 1 for share in ranks.busy_share)
    assert set(trace.rank) == {0, 1}
    assert {(rank, module) for rank, module in zip(trace.rank, trace.module, strict=True) if module} == {(0, 1), (1, 2)}
    assert set(trace.phase) == {"f", "b", "s", "w"}
    assert trace.steps == (8 if method == "short-runs" else 1)


REFUSED = [
    ({"method": "bp", "ranks": 2}, "ranks = 2 for method 'bp'; legal: 1"),
    ({"method": "sid-parallel", "ranks": 5}, "ranks = 5 for 4 modules; legal: 1 to 4"),
    (
        {"method": "sid-parallel", "ranks": 2, "passes": ["inference"]},
        "passes = inference for ranks = 2; legal: memory, latency, accuracy",
    ),
    (
        PIPELINE | {"method": "bp-gpipe", "ranks": 2, "passes": ["accuracy"], "dataset": "mnist", "image_size": None},
        "passes = accuracy for method 'bp-gpipe' on 2 ranks, whose schedule takes batches of one size only; ",
    ),
    (
        {"method": "sid-parallel", "ranks": 2, "compile": True, "passes": ["latency"]},
        "compile = True for ranks = 2; legal: False",
    ),
    ({"method": "sid-parallel", "ranks": 2, "device": "cuda:1"}, "device = 'cuda:1' for ranks = 2; legal: cpu, cuda"),
    ({"method": "sid-parallel", "ranks": 0}, "ranks = 0; legal: an integer of 1 or more"),
    ({"method": "sid-parallel", "ranks": 2} | PIPELINE, "network = 'pipeline-linear' for method 'sid-parallel'"),
    (
        {"method": "sid-pipelined", "ranks": 2},
        "network = 'cascade-linear' for method 'sid-pipelined', a cascade",
    ),
    ({"method": "sid-pipelined"} | PIPELINE, "ranks = 1 for method 'sid-pipelined'; legal: 2 or more"),
    (
        {"method": "bp-gpipe", "ranks": 2},
        "network = 'cascade-linear' for method 'bp-gpipe', a cascade",
    ),
    ({"method": "bp-zbv", "ranks": 3} | PIPELINE, "modules = 4 for method 'bp-zbv' on 3 ranks; legal: 6 or more"),
    (PIPELINE | {"method": "bp-1f1b", "ranks": 2, "batch_size": 9}, "batch_size = 9 for method 'bp-1f1b' on 2 ranks"),
]


@pytest.mark.parametrize(("axes", "message"), REFUSED)
def test_cells_that_cannot_run_on_ranks_are_refused_before_anything_runs(
    cli: RunCli, tmp_path: Path, axes: dict[str, Any], message: str
) -> None:
    values = SIZES | {"network": "cascade-linear"} | axes
    given = {axis: value for axis, value in values.items() if value is not None}
    ended = cli("run", write_sweep(tmp_path / "sweep.toml", **given), "--out", tmp_path / "results.jsonl")
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert not (tmp_path / "results.jsonl").exists()


def test_the_option_and_the_axis_must_not_differ(cli: RunCli, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", **SIZES, method="sid-parallel", network="cascade-linear")
    ended = cli("run", sweep, "--ranks", 2, "--set", "ranks=3")
    assert ended.exit_code == 2
    assert "--ranks 2 and --set ranks=3 differ" in ended.stderr


def test_a_line_names_several_ranks_and_one_rank_does_not_change_the_id(cli: RunCli, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", **SIZES, method="sid-parallel", network="cascade-linear")
    one, two = (cli("run", sweep, "--dry-run", "--ranks", ranks).stdout for ranks in (1, 2))
    assert one == cli("run", sweep, "--dry-run").stdout
    assert " ranks 2 (memory)" in two
    assert "ranks" not in one
