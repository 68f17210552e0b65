"""Settings of torch that a plug-in changes: the record says under which ones the cell ran, and that they changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import RunCli
from harness_tools import TINY, write_sweep
from one_cell import measure_cell

from bench.config.check import make_cell
from bench.execute.fork_executor import ForkServerExecutor
from bench.store.record import Record

RULE = '''
"""A rule that is BP."""

import torch
import torch.nn.functional as F

{at_import}


def rule(network, images, labels, objective):
    """BP."""
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    {in_step}
    return loss.detach()
'''


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """Restores the settings of this process, which loads the rules, too, and runs other tests."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(False)


def run(folder: Path, executor: ForkServerExecutor, at_import: str = "", in_step: str = "pass", **axes: Any) -> Record:
    file = folder / "settings_rule.py"
    file.write_text(RULE.format(at_import=at_import, in_step=in_step))
    cell = make_cell(
        TINY | {"method": f"{file}:rule", "dataset": "random", "depth": 1, "passes": ["memory", "latency"]} | axes
    )
    record = measure_cell(cell, executor)
    assert record.status == "ok", record.message
    return record


def finding(record: Record) -> str | None:
    found = record.environment["doctor"].get("torch settings")
    assert found is None or isinstance(found, str)
    return found


def test_a_change_at_import_is_in_the_environment_and_is_named(executor: ForkServerExecutor, tmp_path: Path) -> None:
    record = run(
        tmp_path, executor, "torch.set_float32_matmul_precision('high'); torch.use_deterministic_algorithms(True)"
    )
    assert record.environment["float32_matmul_precision"] == "high"
    assert record.environment["deterministic_algorithms"] is True
    text = str(finding(record))
    assert text.startswith("changed while code or data was loaded: ")
    assert "float32_matmul_precision from highest to high" in text
    assert "deterministic_algorithms from False to True" in text
    assert "while the cell ran" not in text


def test_threads_that_the_cell_asks_for_win_over_those_of_a_plug_in(
    executor: ForkServerExecutor, tmp_path: Path
) -> None:
    record = run(tmp_path, executor, "torch.set_num_threads(1)", threads=2, passes=["memory"])
    assert record.environment["threads"] == 2
    assert "threads from 2 to 1" in str(finding(record))


def test_threads_of_a_plug_in_are_recorded_where_the_cell_asks_for_none(
    executor: ForkServerExecutor, tmp_path: Path
) -> None:
    record = run(tmp_path, executor, "torch.set_num_threads(3)")
    assert record.environment["threads"] == 3
    assert "to 3" in str(finding(record))


def test_a_change_in_a_step_makes_the_ratio_unreliable(executor: ForkServerExecutor, tmp_path: Path) -> None:
    record = run(tmp_path, executor, in_step="torch.backends.mkldnn.deterministic = True")
    assert "while the cell ran: mkldnn_deterministic from False to True" in str(finding(record))
    assert record.latency is not None
    assert "mkldnn_deterministic from False to True" in str(record.latency.noisy_because)


def test_a_change_that_a_step_takes_back_is_no_change(executor: ForkServerExecutor, tmp_path: Path) -> None:
    change = "torch.use_deterministic_algorithms(True); torch.use_deterministic_algorithms(False)"
    assert finding(run(tmp_path, executor, in_step=change)) is None


@pytest.mark.long
@pytest.mark.parametrize("method", ["bp", "sid-published", "bp-checkpoint", "sid-vectorised"])
def test_no_built_in_method_changes_a_setting(method: str, executor: ForkServerExecutor) -> None:
    axes = {"method": method, "dataset": "random", "depth": 2, "passes": ["memory", "latency"], "precision": "bfloat16"}
    record = measure_cell(make_cell(TINY | axes), executor)
    assert record.status == "ok", record.message
    assert finding(record) is None


def test_a_sweep_warns_of_a_method_that_changes_settings(measuring_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "settings_rule.py"
    file.write_text(RULE.format(at_import="torch.use_deterministic_algorithms(True)", in_step="pass"))
    axes = TINY | {"method": ["bp", f"{file}:rule"], "dataset": "random", "depth": 1, "passes": ["memory"]}
    sweep = write_sweep(tmp_path / "sweep.toml", axes)
    ended = measuring_cli("run", sweep, "--out", tmp_path / "results.jsonl", "--quiet")
    assert ended.exit_code == 0
    assert ended.stderr.count("warning: ") == 1
    assert f"warning: {file}:rule and BP beside it ran under other settings of torch" in ended.stderr
    assert "deterministic_algorithms from False to True" in ended.stderr
