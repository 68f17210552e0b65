"""Benchmark of the harness: the overhead per cell."""

import statistics
from pathlib import Path
from typing import Any

from bench.config.sweep import load_sweep
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.run import run_sweep
from bench.execute.watcher import Watcher
from bench.store.file import Store

CELLS = 20


def test_overhead_of_a_cell(benchmark: Any, tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text(
        f"""
        [[grid]]
        depth = 1
        width = 8
        hidden = 8
        batch_size = 8
        seed = [{", ".join(map(str, range(CELLS)))}]
        passes = ["memory"]
        """
    )
    sweep = load_sweep(str(suite))
    with (
        Store(tmp_path / "tiny.jsonl") as store,
        ForkServerExecutor(ExecutorSettings(timeout_seconds=60)) as executor,
    ):
        executor.check(sweep.cells[0])  # loads torch, which happens once per sweep
        summary = benchmark.pedantic(run_sweep, args=(sweep, store, executor, Watcher()), rounds=1)
    benchmark.extra_info["overhead_seconds"] = summary.overhead_seconds
    benchmark.extra_info["median_overhead_seconds"] = statistics.median(summary.overhead_seconds)
    assert summary.statuses == {"ok": CELLS}
    assert all(seconds > 0 for seconds in summary.overhead_seconds)
