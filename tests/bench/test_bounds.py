"""Lower bounds on memory: never above a measurement, and close to that of streamed SID."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.bounds import lower_bound_bytes
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.train.step import build_step

BOUNDED = ["bp", "bp-checkpoint", "sid-published", "sid-streamed"]


def measured(cell: Cell, shape: tuple[int, int, int], classes: int) -> int:
    images = torch.zeros(cell.batch_size, *shape)
    labels = torch.zeros(cell.batch_size, dtype=torch.int64)
    step = build_step(cell, shape, classes)
    return measure_memory(step, images, labels, ask_allocator=False).peak_activation_bytes


def cell(method: str, **axes: object) -> Cell:
    return make_cell({"method": method, "dataset": "random", "passes": ["memory"]} | axes)


def bound(of: Cell, shape: tuple[int, int, int], classes: int) -> int:
    least = lower_bound_bytes(of, shape, classes)
    assert least is not None
    return least


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    st.sampled_from(BOUNDED),
    st.sampled_from(["cascade-linear", "cascade-conv"]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(2, 12),
    st.integers(1, 40),
    st.integers(4, 12),
)
def test_no_measurement_is_below_its_bound(
    method: str, network: str, modules: int, layers: int, width: int, hidden: int, classes: int, batch: int, side: int
) -> None:
    small = cell(
        method, network=network, modules=modules, depth=modules * layers, width=width, hidden=hidden, batch_size=batch
    )
    assert bound(small, (1, side, side), classes) <= measured(small, (1, side, side), classes)


@pytest.mark.parametrize("batch", [32, 128])
@pytest.mark.parametrize(("depth", "modules"), [(4, 1), (4, 4), (16, 1), (16, 4), (16, 16), (64, 64)])
def test_streamed_needs_at_most_five_percent_more_than_its_bound(depth: int, modules: int, batch: int) -> None:
    lean = cell("sid-streamed", depth=depth, modules=modules, batch_size=batch)
    assert measured(lean, (1, 28, 28), 10) <= 1.05 * bound(lean, (1, 28, 28), 10)


def test_bounds_equal_a_count_by_hand() -> None:
    # B = 2, C = 3, d = 4, h = 5, two modules of one layer: their inputs are 7 wide.
    tiny = {"modules": 2, "depth": 2, "width": 4, "hidden": 5, "batch_size": 2}
    expected = {
        "bp": 2 * (2 * (7 + 5 + 3) + 5),
        "sid-published": 2 * (2 * (7 + 5 + 3) + 5 + 2 * 3),
        "bp-checkpoint": 2 * (4 + 7 + 5 + 3 + 5 + 4 + 3),
        "sid-streamed": 2 * (7 + 5 + 5 + 3 + 4 + 3),
    }
    for method, floats in expected.items():
        assert lower_bound_bytes(cell(method, **tiny), (1, 1, 1), 3) == 4 * floats, method


def test_the_weight_gradient_of_a_wide_trunk_is_included() -> None:
    wide = cell("sid-streamed", depth=1, modules=1, width=4, hidden=5, batch_size=2)
    assert lower_bound_bytes(wide, (1, 100, 100), 3) == 4 * (2 * 4 + 4 * 10_000)


@pytest.mark.parametrize("method", ["deep-supervision", "sid-streamed-autograd"])
def test_other_rules_have_no_bound(method: str) -> None:
    assert lower_bound_bytes(cell(method), (1, 8, 8), 10) is None
