"""The out-of-memory frontier: cells larger than one that ran out of memory are skipped, and no others."""

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import methods_taking
from command_line import RunCli
from harness_tools import OK, Script, sound_records, write_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.execute.frontier import is_beyond, why_skip
from bench.execute.messages import Answer

SIZES = ("layers", "modules", "width", "hidden", "batch_size", "image_size", "channels", "classes")


AXES = st.fixed_dictionaries(
    dict.fromkeys(SIZES, st.integers(4, 5))
    | {
        "method": st.sampled_from(["bp", "sid-streamed"]),
        "passes": st.sampled_from([["memory"], ["latency"], ["memory", "latency"]]),
        "seed": st.integers(0, 1),
    },
    optional={"threads": st.just(1)},
)


def cell_of(axes: dict[str, Any]) -> Cell:
    """A cell on synthetic images; ``layers`` are those of each module."""
    rest = {name: value for name, value in axes.items() if name != "layers"}
    return make_cell({"dataset": "random", "depth": axes["layers"] * axes["modules"], **rest})


GROWTH = st.fixed_dictionaries({name: st.integers(0, 3) for name in SIZES})
# What makes a cell need at least as much memory as before: larger sizes, another pass, another seed.
STEP = st.fixed_dictionaries({"growth": GROWTH, "more_passes": st.booleans(), "seed": st.integers(0, 1)})


def grown(axes: dict[str, Any], growth: dict[str, int]) -> dict[str, Any]:
    return axes | {name: axes[name] + more for name, more in growth.items()}


def after_step(axes: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    passes = ["memory", "latency"] if step["more_passes"] else axes["passes"]
    return grown(axes, step["growth"]) | {"passes": passes, "seed": step["seed"]}


@given(AXES, STEP, STEP)
def test_a_cell_is_beyond_all_cells_that_it_was_grown_from(
    axes: dict[str, Any], first_step: dict[str, Any], second_step: dict[str, Any]
) -> None:
    middle_axes = after_step(axes, first_step)
    smallest, middle, largest = cell_of(axes), cell_of(middle_axes), cell_of(after_step(middle_axes, second_step))
    assert is_beyond(smallest, smallest)
    assert is_beyond(middle, smallest)
    assert is_beyond(largest, middle)
    assert is_beyond(largest, smallest)


def test_being_beyond_is_transitive() -> None:
    """For all cells of a small grid, in which many are beyond others and many are not."""
    values: dict[str, list[Any]] = {"modules": [2, 4], "layers": [1, 2, 3], "batch_size": [8, 9, 10], "width": [8, 16]}
    grids = [
        values | {"method": [method], "passes": [passes]}
        for method in ("bp", "sid-streamed")
        for passes in (["memory"], ["memory", "latency"])
    ]
    cells = [cell_of(dict(zip(grid, choice, strict=True))) for grid in grids for choice in product(*grid.values())]
    beyond = np.array([[is_beyond(cell, other) for other in cells] for cell in cells])
    by_two_steps = beyond.astype(int) @ beyond.astype(int) > 0
    assert not (by_two_steps & ~beyond).any()
    assert 0.05 < beyond.mean() < 0.5


@given(AXES, GROWTH)
def test_a_cell_that_is_smaller_in_any_size_is_not_beyond(axes: dict[str, Any], growth: dict[str, int]) -> None:
    assert is_beyond(cell_of(axes), cell_of(grown(axes, growth))) == (not any(growth.values()))


@given(AXES, GROWTH, GROWTH, st.sampled_from(SIZES))
def test_of_two_cells_that_are_each_larger_in_some_size_neither_is_beyond_the_other(
    axes: dict[str, Any], growth: dict[str, int], other_growth: dict[str, int], size: str
) -> None:
    other_size = SIZES[SIZES.index(size) - 1]
    one = cell_of(grown(axes, growth | {size: 2, other_size: 0}))
    other = cell_of(grown(axes, other_growth | {size: 0, other_size: 2}))
    assert not is_beyond(one, other)
    assert not is_beyond(other, one)


def test_of_two_cells_of_one_depth_with_fewer_or_more_modules_neither_is_beyond_the_other() -> None:
    coarse, fine = make_cell({"depth": 8, "modules": 2}), make_cell({"depth": 8, "modules": 8})
    assert not is_beyond(coarse, fine)
    assert not is_beyond(fine, coarse)


BASE: dict[str, Any] = {"method": "sid-streamed", "dataset": "random", "passes": ["memory"]}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "bp"},
        {"network": "cascade-conv"},
        {"dataset": "digits"},
        {"optimizer": "sgd"},
        {"device": "cuda"},
        {"threads": 1},
        {"direction": "reverse"},
        {"loss_reduction": "mean"},
        {"train_samples": 100},
        {"image_size": 28},  # what None means here; the planner does not know it
    ],
    ids=str,
)
def test_a_cell_that_differs_in_what_bears_on_memory_is_not_beyond(change: dict[str, Any]) -> None:
    cell, other = make_cell(BASE), make_cell(BASE | change)
    assert not is_beyond(cell, other)
    assert not is_beyond(other, cell)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"latency_seconds": 9.0},
        {"processes": 3},
        {"epochs": 1},
        {"alpha": 1.0},
        {"noise_rate": 0.4},
        {"learning_rate": 0.1},
        {"weight_decay": 0.1},
        {"schedule": "cosine"},
    ],
    ids=str,
)
def test_axes_that_do_not_bear_on_memory_may_differ(change: dict[str, Any]) -> None:
    cell, other = make_cell(BASE), make_cell(BASE | change)
    assert is_beyond(cell, other)
    assert is_beyond(other, cell)


def test_smoothing_does_not_bear_on_memory() -> None:
    cell, other = (make_cell(BASE | {"direction": "reverse", "smoothing": smoothing}) for smoothing in (0.1, 0.2))
    assert is_beyond(cell, other)
    assert is_beyond(other, cell)


def test_a_cell_without_a_pass_of_the_failed_cell_is_not_beyond_it() -> None:
    memory, both = make_cell(BASE), make_cell(BASE | {"passes": ["memory", "latency"]})
    assert not is_beyond(memory, both)
    assert is_beyond(both, memory)


@pytest.mark.parametrize(
    ("method", "network"),
    [
        *((method, "cascade-linear") for method in methods_taking(make_cell({}))),
        ("bp", "cascade-conv"),
        ("sid-streamed", "cascade-conv"),
    ],
)
@pytest.mark.long
def test_the_memory_of_every_method_grows_in_every_size(method: str, network: str) -> None:
    """The assumption of the rule, measured: total bytes, activations included, never shrink as a size grows."""
    import torch

    from bench.measure.memory.measure import measure_memory
    from bench.train.step import build_step

    def bytes_of(axes: dict[str, Any]) -> int:
        cell = cell_of(axes)
        shape = (axes["channels"], axes["image_size"], axes["image_size"])
        labels = torch.arange(cell.batch_size) % axes["classes"]
        step = build_step(cell, shape, axes["classes"])
        return measure_memory(step, torch.zeros(cell.batch_size, *shape), labels).peak_total_bytes

    axes: dict[str, Any] = dict.fromkeys(SIZES, 4) | {"layers": 2, "modules": 2, "channels": 1}
    axes |= {"method": method, "network": network, "passes": ["memory"]}
    before = bytes_of(axes)
    for name in SIZES:
        assert bytes_of(axes | {name: axes[name] + 1}) >= before, name


def out_of_memory_from(batch_size: int) -> Callable[[Cell], Answer]:
    """Lets cells of at least ``batch_size`` run out of memory."""

    def measure(cell: Cell) -> Answer:
        if cell.batch_size >= batch_size:
            return Answer(status="oom", message="not enough memory", work_seconds=0.0)
        return OK

    return measure


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """Three batch sizes, from small to large, two seeds each."""
    return write_sweep(tmp_path / "sizes.toml", dataset="random", method="bp", batch_size=[8, 16, 32], seed=[0, 1])


def statuses_in(results: Path) -> list[tuple[int, int, str]]:
    return [(record.cell.batch_size, record.cell.seed, record.status) for record in sound_records(results)]


def test_cells_beyond_the_frontier_are_recorded_and_not_run(
    script: Script, cli: RunCli, sizes: Path, results: Path
) -> None:
    executor = script(out_of_memory_from(16))
    ended = cli("run", sizes, "--out", results)
    assert ended.exit_code == 0, ended.stderr
    assert "3 cells measured, 2 ok, 1 oom, 3 skipped, 0 stored before" in ended.stdout
    assert [(cell.batch_size, cell.seed) for cell in executor.measured] == [(8, 0), (8, 1), (16, 0)]
    assert statuses_in(results) == [
        *[(8, 0, "ok"), (8, 1, "ok"), (16, 0, "oom")],
        *[(16, 1, "skipped"), (32, 0, "skipped"), (32, 1, "skipped")],
    ]
    for record in sound_records(results)[3:]:
        assert record.message == (
            "skipped (beyond the frontier): bp cascade-linear random ran out of memory at depth 2, modules 2, width 8, "
            "hidden 8, batch_size 16"
        )
        assert record.attempts == 0
        assert record.timing is None
        assert record.memory is None
        assert record.environment["cpu"]
    assert "[6/6] skipped bp cascade-linear random" in ended.stdout


def test_a_stored_frontier_counts_until_failed_cells_are_retried(
    script: Script, cli: RunCli, sizes: Path, results: Path
) -> None:
    script(out_of_memory_from(16))
    cli("run", sizes, "--out", results)
    executor = script(out_of_memory_from(1000))  # as on a larger machine
    assert "0 cells measured, 6 stored before" in cli("run", sizes, "--out", results).stdout
    larger = cli("run", sizes, "--set", "batch_size=12,64", "--set", "seed=0", "--out", results)
    assert "1 cell measured, 1 ok, 1 skipped" in larger.stdout
    assert [cell.batch_size for cell in executor.measured] == [12]

    retried = cli("run", sizes, "--out", results, "--retry-failed")
    assert "4 cells measured, 4 ok, 2 stored before" in retried.stdout
    again = cli("run", sizes, "--set", "batch_size=128", "--set", "seed=0", "--out", results)
    assert "1 cell measured, 1 ok, 0 stored before" in again.stdout, "the cell that ran out of memory is ok now"


def test_retry_failed_finds_a_new_frontier(script: Script, cli: RunCli, sizes: Path, results: Path) -> None:
    script(out_of_memory_from(16))
    cli("run", sizes, "--out", results)
    executor = script(out_of_memory_from(32))
    retried = cli("run", sizes, "--out", results, "--retry-failed")
    assert "3 cells measured, 2 ok, 1 oom, 1 skipped, 2 stored before" in retried.stdout
    assert [(cell.batch_size, cell.seed) for cell in executor.measured] == [(16, 0), (16, 1), (32, 0)]


def test_without_a_frontier_every_cell_runs(script: Script, cli: RunCli, sizes: Path, results: Path) -> None:
    executor = script(out_of_memory_from(16))
    ended = cli("run", sizes, "--out", results, "--no-frontier")
    assert "6 cells measured, 2 ok, 4 oom, 0 stored before" in ended.stdout
    assert len(executor.measured) == 6


def test_without_a_frontier_skipped_cells_are_measured(script: Script, cli: RunCli, sizes: Path, results: Path) -> None:
    executor = script(out_of_memory_from(16))
    cli("run", sizes, "--out", results)
    executor.asked.clear()
    ended = cli("run", sizes, "--out", results, "--no-frontier")
    assert "3 cells measured, 3 oom, 3 stored before" in ended.stdout
    assert [(cell.batch_size, cell.seed) for cell in executor.measured] == [(16, 1), (32, 0), (32, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_a_cell_that_would_run_out_of_memory_is_never_ok(
    script: Script, cli: RunCli, tmp_path: Path, results: Path, seed: int
) -> None:
    order = [4, 8, 16, 32, 64]
    random.Random(seed).shuffle(order)
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random", method="bp", batch_size=order)
    executor = script(out_of_memory_from(16))
    assert cli("run", sweep, "--out", results).exit_code == 0
    assert [size for size, _, _ in statuses_in(results)] == order
    for position, (size, _, status) in enumerate(statuses_in(results)):
        is_known_to_fail = any(16 <= earlier <= size for earlier in order[:position])
        assert status == ("ok" if size < 16 else "skipped" if is_known_to_fail else "oom")
    assert [cell.batch_size for cell in executor.measured] == [
        size for size, _, status in statuses_in(results) if status != "skipped"
    ]


def test_larger_cells_are_skipped_after_one_has_really_run_out_of_memory(
    measuring_cli: RunCli, tmp_path: Path, results: Path
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random", method="bp", batch_size=[8, 100_000, 1_000_000])
    ended = measuring_cli("run", sweep, "--out", results, "--memory-limit", "200MiB")
    assert "2 cells measured, 1 ok, 1 oom, 1 skipped" in ended.stdout, ended.stderr
    assert [record.status for record in sound_records(results)] == ["ok", "oom", "skipped"]


def test_the_message_names_the_first_cell_that_ran_out_of_memory() -> None:
    cell = make_cell(BASE | {"batch_size": 16})
    assert why_skip(cell, []) is None
    assert why_skip(cell, [make_cell(BASE | {"batch_size": 17})]) is None
    reason = why_skip(cell, [make_cell(BASE | {"batch_size": 9}), make_cell(BASE | {"batch_size": 8})])
    assert reason is not None
    assert reason.endswith("batch_size 9")
