"""The cells of a plan: distinct in memory, with sizes that are known without files."""

import pytest

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.plan.grid import baseline_of, lines_of, memory_cells, shape_of


def test_cells_with_equal_memory_are_merged() -> None:
    base = {"method": "sid-streamed", "dataset": "digits"}
    changes = [
        {},
        {"seed": 3},
        {"noise_rate": 0.4},
        {"noise_rate": 0.2, "noise_kind": "pairflip"},
        {"epochs": 1},
        {"train_samples": 100},
        {"latency_seconds": 9.0},
        {"learning_rate": 0.5},
        {"weight_decay": 0.1},
        {"schedule": "cosine"},
        {"threads": 1},
        {"alpha": 1.0},
        {"processes": 3},
        {"device": "cuda"},
        {"passes": ["accuracy"]},
    ]
    (cell,) = memory_cells(make_cell(base | change) for change in changes)
    assert cell.passes == ("memory",)
    assert cell.device == "cpu"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "bp"},
        {"network": "cascade-conv"},
        {"dataset": "mnist"},
        {"depth": 8},
        {"modules": 2},
        {"width": 64},
        {"hidden": 64},
        {"batch_size": 64},
        {"direction": "reverse"},
        {"loss_reduction": "mean"},
        {"optimizer": "sgd"},
        {"precision": "bfloat16"},
    ],
)
def test_cells_whose_memory_may_differ_are_kept_apart(change: dict[str, object]) -> None:
    base: dict[str, object] = {"method": "sid-streamed", "depth": 4, "modules": 4}
    assert len(memory_cells([make_cell(base), make_cell(base | change)])) == 2


def test_a_compiled_cell_stays_compiled_so_that_the_plan_can_refuse_it() -> None:
    cells = [make_cell({"passes": ["latency"], "compile": compiled}) for compiled in (False, True)]
    assert [(cell.compile, cell.passes) for cell in memory_cells(cells)] == [(False, ("memory",)), (True, ("memory",))]


@pytest.mark.long
def test_suites_of_accuracy_have_memory_cells() -> None:
    cells = memory_cells(load_sweep("noise").cells)
    assert 0 < len(cells) < len(load_sweep("noise").cells) / 10
    assert {cell.passes for cell in cells} == {("memory",)}


@pytest.mark.parametrize(
    ("axes", "shape", "classes"),
    [
        ({"dataset": "digits"}, (1, 8, 8), 10),
        ({"dataset": "mnist"}, (1, 28, 28), 10),
        ({"dataset": "cifar100"}, (3, 32, 32), 100),
        ({"dataset": "random"}, (1, 28, 28), 10),
        ({"dataset": "random", "image_size": 5, "channels": 2, "classes": 3}, (2, 5, 5), 3),
    ],
)
def test_sizes_are_known_without_files(axes: dict[str, object], shape: tuple[int, int, int], classes: int) -> None:
    assert shape_of(make_cell(axes | {"passes": ["memory"]})) == (shape, classes)


@pytest.mark.parametrize(("axes", "hint"), [({"image_size": 64}, ""), ({}, " --set image_size=N")])
def test_an_image_folder_is_refused_with_an_alternative(axes: dict[str, object], hint: str) -> None:
    cell = make_cell({"dataset": "image-folder:birds"} | axes)
    with pytest.raises(ConfigError, match=rf"dataset = 'image-folder:birds' .* dataset=random{hint} --set channels=3"):
        memory_cells([cell])


def test_the_baseline_is_bp_on_the_same_cell() -> None:
    cell = make_cell({"method": "sid-streamed", "alpha": 0.3, "depth": 6, "modules": 3, "batch_size": 7})
    changed = {name for name in Cell.model_fields if getattr(cell, name) != getattr(baseline_of(cell), name)}
    assert changed == {"method", "alpha", "passes"}


def test_cells_that_differ_only_in_the_batch_are_one_line() -> None:
    cells = memory_cells(load_sweep("memory").cells)
    batches = {cell.batch_size for cell in cells}
    assert len(lines_of(cells)) * len(batches) == len(cells)
