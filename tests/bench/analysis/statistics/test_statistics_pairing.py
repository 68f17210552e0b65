"""Which records are of one cell, and which are compared: equal on every axis that neither method names."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from record_builder import make_record

from bench.analysis.statistics.comparison import Exact, NotMeasured
from bench.analysis.statistics.pairing import HOW_MEASURED, canonical, cell_text, entry_of, is_of, key_of, paired_axes
from bench.analysis.statistics.provider import Found, Request
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.statistic import STATISTICS
from bench.config.axes import axes, unpaired, values_of
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.store.record import Record

# Values besides the default of each axis that a cell of two methods shares.
OTHERS: dict[str, Any] = {
    "network": "cascade-conv",
    "dataset": "random",
    "depth": 8,
    "modules": 2,
    "width": 32,
    "hidden": 64,
    "batch_size": 32,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "epochs": 3,
    "train_samples": 100,
    "noise_kind": "pairflip",
    "noise_rate": 0.3,
    "device": "cuda",
    "precision": "bfloat16",
    "compile": True,
    "threads": 2,
}
OF_METHOD: dict[str, list[Any]] = {
    "alpha": [0.5, 1.0, (0.5, 0.5, 0.5, 0.5), (0.9, 0.7, 0.5, 0.3)],
    "direction": ["forward", "reverse"],
    "smoothing": [None, 0.2],
    "loss_reduction": ["sum", "mean"],
    "chunk": [None, 2, 4],
    "micro_batches": [None, 1, 4],
    "recompute": ["none", "trunk", "modules", "all"],
}
METHODS = ["bp", "bp-checkpoint", "bp-microbatch", "sid-streamed", "sid-vectorised", "sid-streamed-recompute"]

shared_axes = st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in OTHERS.items()})
own_axes = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in OF_METHOD.items()})


def legal(**axes: Any) -> Cell:
    try:
        return make_cell({"passes": ["memory"], **axes})
    except ConfigError:
        assume(False)
        raise


def of(cell: Cell) -> Record:
    return make_record(cell.model_dump())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(METHODS), shared_axes, own_axes)
def test_the_canonical_form_is_that_of_a_checked_cell(method: str, shared: dict[str, Any], own: dict[str, Any]) -> None:
    """Also before the cell is checked, as far as it depends on the method."""
    cell = legal(method=method, **shared, **own)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values_of(cell).items()}
    assert entry_of(of(cell)).values == values
    unchecked = {name: value for name, value in own.items() if name not in ("recompute", "smoothing") and value}
    assert canonical(values | unchecked) == values


@settings(max_examples=200, deadline=None)
@given(shared_axes, own_axes, st.sampled_from(METHODS))
def test_a_record_is_of_a_method_at_its_defaults_only(shared: dict[str, Any], own: dict[str, Any], method: str) -> None:
    cell = legal(method=method, **shared, **own)
    entry = entry_of(of(cell))
    usual = {name: entry.values[name] == axes()[name].default for name in unpaired() if name not in HOW_MEASURED}
    expected = all(is_usual for name, is_usual in usual.items() if name not in ("method", "alpha"))
    expected &= entry.values["alpha"] in (None, axes()["alpha"].default)
    assert is_of(entry, {"method": cell.method}) == expected
    named = {name: entry.values[name] for name in usual}
    assert is_of(entry, named)


def compared(first: Cell, second: Cell, statistic: str = "activation_bytes") -> bool:
    """Whether records of the two cells are compared; the methods are the cells'."""
    size, accuracy = (30, None) if statistic == "activation_bytes" else (None, 0.9)
    records = [make_record(cell.model_dump(), size, accuracy=accuracy) for cell in (first, second)]
    sides = [{"method": cell.method} for cell in (first, second)]
    found = RecordProvider(records).find(Request(STATISTICS[statistic], sides[0], sides[1], {}))
    return not isinstance(found, NotMeasured) and not isinstance(found[0].outcome, NotMeasured)


@settings(max_examples=150, deadline=None)
@given(shared_axes, st.sampled_from(sorted(OTHERS)), st.sampled_from([("memory", "activation_bytes"), ("accuracy",
       "accuracy_last")]))  # fmt: skip
def test_records_are_compared_if_they_are_equal_in_all_that_bears_on_the_statistic(
    shared: dict[str, Any], axis: str, measured: tuple[str, str]
) -> None:
    passes, statistic = measured
    common = {"dataset": "digits", **shared, "passes": [passes]}
    first = legal(method="sid-streamed", **common)
    assert compared(first, legal(method="bp", **common), statistic)
    other = legal(method="bp", **common | {axis: axes()[axis].default if axis in shared else OTHERS[axis]})
    # A change of one axis may change others: learning rates have the default of their optimizer.
    names = paired_axes(passes, entry_of(of(first)))  # type: ignore[arg-type]
    is_same_cell = key_of(entry_of(of(first)).values, names) == key_of(entry_of(of(other)).values, names)
    assert compared(first, other, statistic) == is_same_cell
    if axis in ("network", "dataset", "depth", "modules", "batch_size", "optimizer", "hidden", "precision"):
        assert not is_same_cell
    if passes == "accuracy" and axis in ("epochs", "train_samples", "learning_rate", "threads"):
        assert not is_same_cell


@pytest.mark.parametrize("how", [{"seed": 3}, {"latency_seconds": 9.0}, {"passes": ["memory", "accuracy"]}])
def test_how_something_was_measured_tells_no_cells_apart(how: dict[str, Any]) -> None:
    assert compared(legal(method="sid-streamed", **how), legal(method="bp"))


@settings(max_examples=150, deadline=None)
@given(shared_axes, shared_axes, st.sampled_from(["memory", "latency", "accuracy"]))
def test_cells_have_equal_texts_exactly_if_they_are_equal(
    one: dict[str, Any], other: dict[str, Any], measured_in: Any
) -> None:
    entries = [entry_of(of(legal(**{"dataset": "digits", **cell}))) for cell in (one, other)]
    names = [set(paired_axes(measured_in, entry)) for entry in entries]
    texts = [cell_text(entry.values, own) for entry, own in zip(entries, names, strict=True)]
    keys = [key_of(entry.values, own) for entry, own in zip(entries, names, strict=True)]
    assert (texts[0] == texts[1]) == (keys[0] == keys[1])


def memory(size: int, **cell: Any) -> Record:
    return make_record({"passes": ["memory"], **cell}, size)


def find(records: list[Record], method: dict[str, Any], against: dict[str, Any], **where: list[Any]) -> list[Found]:
    found = RecordProvider(records).find(Request(STATISTICS["activation_bytes"], method, against, where))
    return [] if isinstance(found, NotMeasured) else list(found)


def test_the_second_method_may_differ_in_axes_that_it_names() -> None:
    records = [memory(10, method="sid-streamed", depth=8, modules=8), memory(20, method="bp", depth=8, modules=1)]
    (found,) = find(records, {"method": "sid-streamed"}, {"method": "bp", "modules": 1})
    assert found.outcome == Exact(10, 20)
    assert "modules 8" in found.cell
    assert find(records, {"method": "sid-streamed"}, {"method": "bp"}) == []


def test_one_module_has_no_cut() -> None:
    backbone = {"network": "pipeline-resnet18", "dataset": "random", "image_size": 32, "channels": 3}
    records = [
        memory(10, method="sid-streamed", **backbone, modules=5, cut="balanced"),
        memory(20, method="bp", **backbone, modules=1),
    ]
    (found,) = find(records, {"method": "sid-streamed"}, {"method": "bp", "modules": 1})
    assert found.outcome == Exact(10, 20)


def test_a_cell_has_one_text_in_answers_to_all_controls() -> None:
    records = [
        memory(10, method="sid-streamed", modules=4),
        memory(20, method="bp", modules=4),
        memory(30, method="bp", modules=1),
        memory(40, method="bp", modules=4, recompute="modules"),
    ]
    controls: list[dict[str, Any]] = [{"method": "bp"}, {"method": "bp", "modules": 1}]
    controls += [{"method": "bp", "recompute": "modules"}, {"method": "bp", "noise_rate": 0.0}]
    texts = {found.cell for against in controls for found in find(records, {"method": "sid-streamed"}, against)}
    assert len(texts) == 1


def test_axes_that_a_claim_filters_by_select_cells() -> None:
    records = [memory(10 * d, method=m, depth=d, modules=d) for d in (2, 4, 8) for m in ("bp", "sid-streamed")]
    found = find(records, {"method": "sid-streamed"}, {"method": "bp"}, depth=[4, 8])
    assert [one.outcome for one in found] == [Exact(40, 40), Exact(80, 80)]


def test_an_axis_of_the_method_that_a_claim_filters_by_belongs_to_the_first() -> None:
    records = [memory(10, method="bp"), memory(20, method="sid-streamed", chunk=None)]
    records += [memory(5 * chunk, method="sid-vectorised", chunk=chunk) for chunk in (1, 2)]
    assert find(records, {"method": "sid-vectorised"}, {"method": "bp"}, chunk=[1, 2]) == []
    (found,) = find(records, {"method": "sid-vectorised", "chunk": 2}, {"method": "bp"})
    assert found.outcome == Exact(10, 10)


def test_methods_of_earlier_names_are_todays() -> None:
    stored = memory(20, method="bp").model_dump(by_alias=True, mode="json")
    stored["cell"] |= {"method": "bp-checkpoint"}
    records = [memory(10, method="sid-streamed"), Record.parse(stored)]
    (found,) = find(records, {"method": "sid-streamed"}, {"method": "bp", "recompute": "modules"})
    assert found.outcome == Exact(10, 20)
    assert find(records, {"method": "sid-streamed"}, {"method": "bp"}) == []


def test_a_rule_in_a_file_that_is_not_there_is_compared() -> None:
    for alpha in (None, 0.5):
        stored = memory(20, method="bp").model_dump(by_alias=True, mode="json")
        stored["cell"] |= {"method": "gone.py:rule", "alpha": alpha}
        records = [memory(10, method="sid-streamed"), Record.parse(stored)]
        (found,) = find(records, {"method": "sid-streamed"}, {"method": "gone.py:rule"})
        assert found.outcome == Exact(10, 20)


def test_a_rule_of_ones_own_that_trains_a_module_beside_the_network_is_compared() -> None:
    own = make_record({"method": "bp", "passes": ["memory"]}, 10, parameters=9).model_dump(by_alias=True, mode="json")
    own["cell"] |= {"method": "own.py:rule"}
    records = [Record.parse(own), make_record({"method": "bp", "passes": ["memory"]}, 20, parameters=8)]
    (found,) = find(records, {"method": "own.py:rule"}, {"method": "bp"})
    assert found.outcome == Exact(10, 20)


@pytest.mark.parametrize(
    ("differing", "told"),
    [
        ({"parameters": 7}, "the networks differ, from 7 to 8 parameters"),
        ({"layout": "pipeline"}, "the layouts of the networks differ"),
    ],
)
def test_networks_that_changed_between_two_records_do_not_compare(differing: dict[str, Any], told: str) -> None:
    fields = {"parameters": 8, "layout": "cascade"}
    records = [
        make_record({"method": "sid-streamed", "passes": ["memory"]}, 10, **fields),
        make_record({"method": "bp", "passes": ["memory"]}, 20, **fields | differing),
    ]
    (found,) = find(records, {"method": "sid-streamed"}, {"method": "bp"})
    assert found.outcome == NotMeasured(told)
