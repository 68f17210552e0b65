"""Real processes that time groups: what they share, and methods that fail, disturb others or move parameters."""

from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import TINY, method_source, run_bench, sound_records, write_sweep

from bench.config.check import make_cell
from bench.execute.fork_executor import ForkServerExecutor
from bench.store.record import Record

SHARED = {"dataset": "random", "passes": ["latency"], "processes": 2, "latency_seconds": 0.01}
RAISES = "raise ValueError('no such step')"
# Fails after the step that tries it, while it is warmed up or timed.
LATE = "global calls\ncalls = globals().get('calls', 0) + 1\nif calls > 10: raise MemoryError('late')"
SETS = "torch.set_float32_matmul_precision('medium')"
LEAVES = (
    "import threading\n"
    "if not any(thread.name == 'left' for thread in threading.enumerate()):\n"
    "    threading.Thread(target=threading.Event().wait, name='left', daemon=True).start()"
)


def run_methods(cli: RunCli, folder: Path, sources: dict[str, str], *options: object) -> dict[str, Record]:
    """The records of BP, SID and methods with ``sources`` by method, of one group."""
    own = {}
    for name, body in sources.items():
        file = folder / f"{name}.py"
        file.write_text(method_source(body), encoding="utf-8")
        own[f"{file}:accumulate_gradients"] = name
    sweep = write_sweep(folder / "sweep.toml", SHARED | {"method": ["bp", *own, "sid-streamed"]})
    results = folder / "results.jsonl"
    ended = cli("run", sweep, "--out", results, *options)
    assert ended.exit_code == 0, ended.stderr
    return {own.get(record.cell.method, record.cell.method): record for record in sound_records(results)}


def times_of_bp(record: Record) -> list[tuple[float, float]]:
    assert record.latency is not None
    return [(first, second) for _, first, second, _ in record.latency.blocks_seconds]


def test_methods_that_fail_leave_the_others_of_their_group_their_common_process(
    measuring_cli: RunCli, tmp_path: Path
) -> None:
    found = run_methods(measuring_cli, tmp_path, {"raises": RAISES, "late": LATE}, "--retries", 0)
    assert (found["raises"].status, found["raises"].message) == (
        "crashed",
        "process 1 of 2: ValueError: no such step (raises.py:8, in accumulate_gradients)",
    )
    assert found["late"].status == "oom"
    assert str(found["late"].message).endswith(" of 2: MemoryError: late (late.py:10, in accumulate_gradients)")
    assert times_of_bp(found["bp"]) == times_of_bp(found["sid-streamed"])
    latency = found["bp"].latency
    assert latency is not None
    assert len(latency.blocks_by_process) == 2
    assert found["bp"].trace is not None
    assert latency.shares is not None


@pytest.mark.long
@pytest.mark.parametrize(("name", "body"), [("sets", SETS), ("leaves", LEAVES)])
def test_a_method_that_disturbs_others_has_processes_of_its_own(
    measuring_cli: RunCli, tmp_path: Path, name: str, body: str
) -> None:
    found = run_methods(measuring_cli, tmp_path, {name: body})
    assert times_of_bp(found["bp"]) == times_of_bp(found["sid-streamed"])
    assert times_of_bp(found["bp"]) != times_of_bp(found[name])
    findings = {method: record.environment["doctor"].get("torch settings") for method, record in found.items()}
    assert findings["bp"] is findings["sid-streamed"] is None
    assert (findings[name] is not None) == (name == "sets")


@pytest.mark.long
def test_a_method_that_cannot_be_loaded_leaves_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def step(network, images, labels, objective):\n    return None\n")
    own = f"{tmp_path / 'broken.py'}:step"
    sweep = write_sweep(tmp_path / "sweep.toml", SHARED | {"method": ["bp", own, "sid-streamed"], "processes": 3})
    results = tmp_path / "results.jsonl"
    first = run_bench("run", sweep, "--dry-run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (tmp_path / "broken.py").write_text(
        "if 'torch' in __import__('sys').modules: raise OSError('gone')\nstep = print\n"
    )
    ended = run_bench("run", sweep, "--out", results, "--retries", 0, cwd=tmp_path)
    found = {record.cell.method: record for record in sound_records(results)}
    assert ended.returncode == 0, ended.stderr
    assert found["bp"].status == found["sid-streamed"].status == "ok"
    assert "gone" in str(found[own].message)


def test_a_step_that_moves_its_parameters_leaves_those_of_others_where_they_are(executor: ForkServerExecutor) -> None:
    cells = [make_cell(TINY | SHARED | {"method": method}) for method in ("sid-vectorised", "bp", "sid-streamed")]
    answer = executor.time(cells, 1)
    assert answer.status == "ok", answer.message
    assert answer.members is not None
    samples = [member.latency_sample for member in answer.members]
    assert all(sample is not None and len(sample.blocks_seconds) >= 4 for sample in samples)


def test_each_process_of_a_group_has_another_order_and_the_same_one_each_time(executor: ForkServerExecutor) -> None:
    cells = [make_cell(TINY | SHARED | {"method": method}) for method in ("bp", "sid-streamed")]
    last = executor.time(cells, 1)
    assert last.members is not None
    assert all(member.shares is not None and member.trace is not None for member in last.members)
    first = executor.time(cells, 0)
    assert first.members is not None
    assert all(member.shares is None and member.trace is not None for member in first.members)
    for member in (*first.members, *last.members):
        assert member.environment["threads"] >= 1
        assert member.data is not None
        assert member.work_seconds is not None
