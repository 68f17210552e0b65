"""Predicted bytes of each rank equal those that real ranks measure, to the byte."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from command_line import RunCli
from rank_job import run_ranks

from bench.config.cell import Cell
from bench.config.check import changed, make_cell
from bench.config.label import label
from bench.config.sweep import load_sweep
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory_by_rank
from bench.plan.grid import memory_cells, shape_of
from bench.train.ranks.step import build_rank_step

# Real allocations, and points counted in operators, among which a plan has none of torch.distributed.
NOT_PREDICTED = {"allocator", "timeline"}
SMALL: dict[str, Any] = {"width": 64, "hidden": 24, "image_size": 8, "batch_size": 48}


def suite(ranks: int, **sizes: Any) -> list[Cell]:
    """The cells of the suite ``parallel`` that run on ranks, with other sizes and on so many ranks."""
    cells = [cell for cell in load_sweep("parallel").cells if cell.ranks > 1]
    of_ranks = [
        changed(cell, **sizes, **({"ranks": ranks, "depth": 6, "modules": 6, "micro_batches": None} if sizes else {}))
        for cell in cells
    ]
    return memory_cells(of_ranks)


def others(ranks: int) -> list[Cell]:
    """Small cells of other networks, objectives, optimizers and precisions."""
    narrow = {"precision": "bfloat16", "batch_size": 12, "passes": ["memory"], "ranks": ranks, "dataset": "random"}
    linear = {"network": "pipeline-linear", "depth": 6, "width": 20, "hidden": 7, "image_size": 6}
    images = {"image_size": 16, "channels": 3, "hidden": 12}
    cells = [
        {"method": "sid-parallel", "network": "cascade-conv", "depth": 6, "modules": 3, "direction": "reverse"}
        | images,
        {"method": "sid-parallel", "network": "cascade-linear", "depth": 3, "optimizer": "sgd"},
        {"method": "sid-pipelined", "network": "pipeline-conv", "direction": "reverse", "optimizer": "sgd"} | images,
        {"method": "bp-1f1b", "network": "pipeline-conv"} | images,
        {"method": "sid-pipelined"} | linear | narrow,
        {"method": "sid-parallel", "network": "cascade-linear", "depth": 4, "width": 20, "hidden": 7} | narrow,
    ]
    shared = {"dataset": "random", "passes": ["memory"], "batch_size": 24, "ranks": ranks}
    return memory_cells(make_cell(shared | axes) for axes in cells)


def measure(_rank: int, cells: list[Cell]) -> list[Any]:
    """What this rank measures of each cell."""
    found = []
    for cell in cells:
        shape, classes = shape_of(cell)
        images = torch.randn(cell.batch_size, *shape)
        labels = torch.randint(classes, (cell.batch_size,))
        memory = measure_memory(build_rank_step(cell, shape, classes), images, labels, ask_allocator=False)
        found.append(memory.model_dump(exclude=NOT_PREDICTED))
        dist.barrier()
    return found


def differences(cells: list[Cell], ranks: int, folder: Path) -> list[str]:
    """The cells, with rank, whose prediction and measurement differ."""
    measured = run_ranks(ranks, measure, folder, cells, timeout_seconds=300, patience_seconds=900)
    found = []
    for place, cell in enumerate(cells):
        predicted = predict_memory_by_rank(cell, *shape_of(cell))
        assert len(predicted) == ranks
        for rank, memory in enumerate(predicted):
            assert isinstance(measured[rank], list), measured[rank]
            if memory.model_dump(exclude=NOT_PREDICTED) != measured[rank][place]:
                found.append(f"{label(cell)}, rank {rank}: {memory.peak_activation_bytes} {measured[rank][place]}")
    return found


@pytest.mark.long
def test_small_cells_of_the_suite_are_predicted_to_the_byte(tmp_path: Path) -> None:
    cells = suite(2, **SMALL)
    assert {cell.method for cell in cells} == {cell.method for cell in suite(2)}
    assert differences(cells, 2, tmp_path) == []


@pytest.mark.long
def test_other_cells_are_predicted_to_the_byte(tmp_path: Path) -> None:
    assert differences(others(3), 3, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_suite_parallel_is_predicted_to_the_byte(tmp_path: Path) -> None:
    cells = suite(2)
    assert len(cells) == 10
    assert differences(cells, 2, tmp_path) == []


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_has_the_bytes_of_each_rank_and_those_of_the_largest(cli: RunCli, tmp_path: Path) -> None:
    sizes = ["--set", "network=cascade-linear", "--set", "depth=5", "--set", "hidden=32", "--set", "batch_size=16"]
    arguments = ["--only", "method=sid-parallel", "--set", "method=sid-parallel", "--set", "ranks=1,2", *sizes]
    ended = cli("plan", *arguments, "--jobs", 1, "--out", tmp_path / "plan.csv")
    assert ended.exit_code == 0, ended.output
    for row in rows_of(tmp_path / "plan.csv"):
        activations, totals = (
            [int(size) for size in row[f"peak_{name}_bytes_by_rank"].split()] for name in ("activation", "total")
        )
        assert len(activations) == len(totals) == int(row["ranks"])
        assert (int(row["peak_activation_bytes"]), int(row["peak_total_bytes"])) == (max(activations), max(totals))
        assert " / ".join(f"{size:,}" for size in totals) in ended.stdout
    assert [row["ranks"] for row in rows_of(tmp_path / "plan.csv")] == ["1", "2"]


@pytest.mark.long
def test_a_budget_is_kept_by_every_rank(cli: RunCli, tmp_path: Path) -> None:
    """The batch of a schedule is a multiple of its micro-batches."""
    sizes = ["--set", "network=pipeline-linear", "--set", "depth=4", "--set", "width=32", "--set", "ranks=2"]
    methods = ["sid-pipelined", "bp-1f1b", "bp-zbv"]
    arguments = ["--set", f"method={','.join(methods)}", "--set", "dataset=digits", *sizes, "--set", "hidden=32"]
    ended = cli("plan", *arguments, "--budget", "300kB", "--jobs", 1, "--out", tmp_path / "plan.csv")
    assert ended.exit_code == 0, ended.output
    rows = rows_of(tmp_path / "plan.csv")
    assert [row["method"] for row in rows] == methods
    for row in rows:
        batch, of = int(row["largest_batch"]), {name: row[name] for name in ("method", "network")}
        axes = {"depth": 4, "width": 32, "hidden": 32, "ranks": 2, "dataset": "digits", "passes": ["memory"]}
        following = batch + (1 if row["method"] == "sid-pipelined" else 2)
        fits, next_one = (
            [memory.peak_total_bytes for memory in predict_memory_by_rank(cell, *shape_of(cell))]
            for cell in (make_cell(of | axes | {"batch_size": size}) for size in (batch, following))
        )
        assert max(fits) <= 300_000 < max(next_one)
        assert row["peak_total_bytes_by_rank"] == " ".join(map(str, fits))
        assert int(row["next_peak_total_bytes"]) == max(next_one)
