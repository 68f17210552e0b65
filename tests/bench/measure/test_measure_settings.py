"""The settings of a method: chunk size, micro-batches and recomputation."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import refusal, rule_names
from torch import Tensor

from bench.analysis.series import series_names
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import at_batch, baseline_of, lines_of, memory_cells, shape_of
from bench.train.step import TrainingStep, build_step

NOT_PREDICTED = {"allocator", "timeline"}


def a_cell(method: str, **axes: Any) -> Cell:
    sizes = {"depth": 8, "width": 6, "hidden": 32, "batch_size": 12, "image_size": 4, "passes": ["memory"]}
    return make_cell({"method": method, "dataset": "random", **sizes, **axes})


def built(cell: Cell) -> tuple[TrainingStep, Tensor, Tensor]:
    shape, classes = shape_of(cell)
    torch.manual_seed(1)
    images, labels = torch.randn(cell.batch_size, *shape), torch.randint(classes, (cell.batch_size,))
    return build_step(cell, shape, classes), images, labels


def peak(cell: Cell) -> int:
    step, images, labels = built(cell)
    memory = measure_memory(step, images, labels)
    expected = predict_memory(cell, *shape_of(cell))
    assert memory.model_dump(exclude=NOT_PREDICTED) == expected.model_dump(exclude=NOT_PREDICTED)
    return memory.peak_activation_bytes


def assert_same_gradients(cell: Cell, other: Cell) -> None:
    (step, images, labels), (twin, *_) = built(cell), built(other)
    torch.testing.assert_close(step(images, labels), twin(images, labels))
    for parameter, expected in zip(step.network.parameters(), twin.network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_smaller_chunks_need_less_memory_and_give_the_same_gradients() -> None:
    peaks = [peak(a_cell("sid-vectorised", chunk=chunk)) for chunk in (1, 2, 4, None)]
    assert all(smaller < larger for smaller, larger in pairwise(peaks))
    for chunk in (1, 3):
        assert_same_gradients(a_cell("sid-vectorised", chunk=chunk), a_cell("sid-published", alpha=0.5))


@pytest.mark.long
def test_more_micro_batches_need_less_memory_and_give_the_same_gradients() -> None:
    peaks = [peak(a_cell("bp-microbatch", micro_batches=parts)) for parts in (12, None, 2, 1)]
    assert all(smaller < larger for smaller, larger in pairwise(peaks))
    for method in ("bp", "sid-streamed", "sid-vectorised", "deep-supervision"):
        for parts in (1, 5, 12):  # one part; 5 parts of different sizes; 12 parts of one sample
            assert_same_gradients(a_cell(method, micro_batches=parts), a_cell(method))
    with pytest.raises(ConfigError, match="micro_batches = 30 for batch_size = 12; legal: 1 to 12"):
        a_cell("bp-microbatch", micro_batches=30)


@pytest.mark.parametrize(("samples", "parts"), [(5, [2, 1, 1, 1]), (8, [2] * 4), (3, [1] * 3)])
def test_a_batch_is_split_into_the_given_number_of_micro_batches(
    samples: int, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, images, labels = built(a_cell("bp-microbatch", batch_size=samples))
    seen: list[int] = []
    forward = type(step.network).forward
    monkeypatch.setattr(type(step.network), "forward", lambda self, x: seen.append(len(x)) or forward(self, x))
    step(images, labels)
    assert seen == parts


@pytest.mark.parametrize("method", [name for name in rule_names() if load_method(name).rank_limits[0] == 1])
def test_chunk_is_kept_by_the_method_that_reads_it_and_micro_batches_by_all(method: str) -> None:
    sizes = {"depth": 5, "modules": 5, "device": "cuda" if method == "bp-offload" else "cpu"}
    networks = ("cascade-linear", "pipeline-conv", "pipeline-linear")
    sizes["network"] = next(name for name in networks if refusal(method, a_cell("bp", network=name, **sizes)) is None)
    with_chunk = a_cell(method, chunk=3, **sizes)
    assert with_chunk.chunk == (3 if method == "sid-vectorised" else None)
    assert (with_chunk == a_cell(method, **sizes)) == (method != "sid-vectorised")
    if not load_method(method).updates_within_step and load_method(method).not_in_parts is None:
        assert a_cell(method, micro_batches=3, **sizes).micro_batches == 3
        assert a_cell(method, micro_batches=1, **sizes) == a_cell(method, **sizes)


def test_an_alias_is_replaced_by_its_method() -> None:
    assert a_cell("bp-microbatch") == a_cell("bp", micro_batches=4)
    assert a_cell("bp-microbatch", micro_batches=2) == a_cell("bp", micro_batches=2)
    assert a_cell("bp-checkpoint") == a_cell("bp", recompute="modules")
    assert a_cell("bp-selective") == a_cell("bp", recompute="selective")
    assert a_cell("bp-checkpoint-trunk") == a_cell("bp", recompute="all")
    assert a_cell("sid-streamed-recompute", network="cascade-conv") == a_cell(
        "sid-streamed", network="cascade-conv", recompute="trunk"
    )


def test_equivalent_cells_are_equal() -> None:
    assert a_cell("sid-vectorised", chunk=8) == a_cell("sid-vectorised", chunk=64) == a_cell("sid-vectorised")
    assert a_cell("bp-microbatch", micro_batches=4) == a_cell("bp-microbatch")
    assert a_cell("bp-microbatch", micro_batches=4).id == a_cell("bp-microbatch").id
    assert len({a_cell("sid-vectorised", chunk=chunk).id for chunk in (None, 1, 2)}) == 3


@pytest.mark.parametrize("axis", ["chunk", "micro_batches"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_an_illegal_setting_is_refused_whatever_the_method(axis: str, value: object) -> None:
    for method in ("bp", "bp-microbatch", "sid-vectorised"):
        with pytest.raises(ConfigError, match=f"{axis} = .*; legal: an integer of 1 or more"):
            a_cell(method, **{axis: value})


def test_a_plan_keeps_settings_apart_at_every_batch_size_and_compares_them_with_one_bp() -> None:
    cells = [a_cell("bp-microbatch", micro_batches=parts) for parts in (2, 4, 8)]
    assert len(lines_of(memory_cells(cells))) == 3
    lines = lines_of(memory_cells(cells))
    for batch_size in (8, 64):
        found = [at_batch(line, batch_size).micro_batches for line in lines]
        assert found == [2, 4, 8]
    assert len({baseline_of(cell) for cell in cells}) == 1


def test_the_name_of_a_series_contains_its_settings() -> None:
    import pandas as pd

    cells = [
        *(a_cell("bp-microbatch", micro_batches=parts) for parts in (4, 8)),
        *(a_cell("sid-vectorised", chunk=chunk) for chunk in (None, 2)),
    ]
    frame = pd.DataFrame([cell.model_dump() for cell in cells])
    expected = ["bp micro-batches 4", "bp micro-batches 8", "sid-vectorised", "sid-vectorised chunk 2"]
    assert list(series_names(frame)) == expected


def test_a_suite_can_sweep_a_setting_that_some_methods_lack(tmp_path: Path) -> None:
    suite = tmp_path / "chunks.toml"
    axes = 'method = ["bp", "sid-vectorised"]\ndepth = 8\nchunk = [1, 2, 8]\npasses = ["memory"]\n'
    suite.write_text(f"[[grid]]\n{axes}")
    found = [(cell.method, cell.chunk) for cell in load_sweep(str(suite)).cells]
    assert found == [("bp", None), ("sid-vectorised", 1), ("sid-vectorised", 2), ("sid-vectorised", None)]
