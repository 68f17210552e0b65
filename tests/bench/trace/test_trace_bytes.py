"""The bytes of a traced step: those of the memory pass, each in one module and one category."""

import csv
import io
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given, settings
from made_events import changes, step_of
from torch import Tensor
from traced_steps import CASES, broken_down, made_step, traced

from bench.analysis.step_trace.breakdown import CREATED, HELD, break_down, course_csv, rows_csv, to_json
from bench.analysis.step_trace.parts import part_of
from bench.execute.messages import Answer
from bench.measure.memory.measure import measure_memory
from bench.measure.trace.module_names import names_of

each_case = pytest.mark.parametrize("case", CASES)


def by_category(case: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in broken_down(case).rows:
        found[row.category] += row.bytes
    return found


def by_part(case: str, *categories: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in broken_down(case).rows:
        if row.category in (categories or CREATED):
            found[row.part] += row.bytes
    return dict(found)


@pytest.mark.long
@each_case
def test_the_breakdown_sums_to_the_peak_of_an_undisturbed_memory_pass(case: str) -> None:
    step, images, labels = made_step(case)
    expected = measure_memory(step, images, labels, ask_allocator=False)
    breakdown = broken_down(case)
    assert breakdown.created_bytes == expected.peak_activation_bytes > 0
    assert breakdown.total_bytes == expected.peak_total_bytes
    assert traced(case).memory.model_dump(exclude={"allocator", "timeline"}) == expected.model_dump(
        exclude={"allocator", "timeline"}
    )
    found = by_category(case)
    assert [found[category] for category in HELD] == [
        expected.parameter_bytes,
        expected.buffer_bytes,
        expected.gradient_bytes,
        expected.optimizer_bytes,
        expected.input_bytes,
    ]


@each_case
def test_the_course_of_the_step_holds_the_peak_and_both_ways_to_divide_it(case: str) -> None:
    course = broken_down(case).course
    assert max(moment.bytes for moment in course) == traced(case).memory.peak_activation_bytes
    assert 1 < len(course) <= 101
    for moment in course:
        assert sum(moment.by_category.values()) == sum(moment.by_part.values()) == moment.bytes
        assert min([0, *moment.by_category.values(), *moment.by_part.values()]) >= 0
    assert [moment.seconds for moment in course] == sorted(moment.seconds for moment in course)


@each_case
def test_every_module_of_the_breakdown_has_its_name_in_the_network(case: str) -> None:
    step, *_ = made_step(case)
    names = {*names_of(step).values(), "outside of modules"}
    assert {row.module for row in broken_down(case).rows} <= names
    assert {name for name, _ in step.network.named_modules() if name} <= names


def sizes_of(case: str, category: str) -> dict[str, list[int]]:
    """The bytes of each created storage of a category, as they were at first, by the name of its module."""
    created, events = traced(case).created, traced(case).events
    first: dict[int, int] = {}
    for storage, size in zip(events.storage, events.bytes, strict=True):
        first.setdefault(storage, size)
    found: dict[str, list[int]] = {}
    for storage, size in first.items():
        if created.category[storage] == category:
            found.setdefault(traced(case).modules[created.module[storage]], []).append(size)
    return found


def test_activations_of_bp_lie_in_the_modules_that_have_made_them() -> None:
    held = sizes_of("bp", "activations")
    for number in range(3):
        assert held[f"local_modules.{number}.mlp.1"] == [8 * 16 * 4]  # the output of the ReLU
        assert held[f"local_modules.{number}"][0] == 8 * (10 + 128) * 4  # belief and features in one tensor
        assert held.get(f"local_modules.{number}.mlp.0") is None  # freed once the ReLU has run
    assert set(held) <= {"", "trunk.1", *(f"local_modules.{n}{rest}" for n in range(3) for rest in ("", ".mlp.1"))}


def test_activations_of_a_pipeline_lie_in_its_stages_and_heads() -> None:
    for case in ("bp on a pipeline", "streamed on a pipeline", "dgl"):
        held = {part_of(module) for module in sizes_of(case, "activations")}
        for number in range(3):
            assert {f"local_modules.{number}.stage", f"local_modules.{number}.head"} <= held, case
    # At the peak, which is in the last stage, BP holds all stages, and streamed SID this one and its input.
    first = {"local_modules.0.stage", "local_modules.0.head", "local_modules.1.head"}
    assert first <= set(by_part("bp on a pipeline", "activations"))
    assert not first & set(by_part("streamed on a pipeline", "activations"))


def test_gradients_of_the_backward_pass_lie_in_the_modules_whose_forward_pass_they_belong_to() -> None:
    bytes_: dict[tuple[str, str], int] = {}
    case = traced("bp")
    for run, module, phase in zip(case.runs.name, case.runs.module, case.runs.phase, strict=True):
        name = case.operators[run]
        bytes_[case.modules[module], phase] = bytes_.get((case.modules[module], phase), 0) + ("mm" in name)
    for number in range(3):  # each linear layer has one product forward, and backward one for its weight and its input
        for layer, fewest in (("0", 2 if number else 1), ("2", 2)):
            assert bytes_[f"local_modules.{number}.mlp.{layer}", "f"] == 1
            assert bytes_[f"local_modules.{number}.mlp.{layer}", "b"] >= fewest


def test_what_a_checkpoint_runs_again_is_told_from_what_is_held() -> None:
    plain, again = sizes_of("bp", "activations"), sizes_of("bp with checkpoints", "recomputed activations")
    assert sizes_of("bp", "recomputed activations") == {}
    for number in range(3):
        assert again[f"local_modules.{number}.mlp.1"] == plain[f"local_modules.{number}.mlp.1"]
        assert again[f"local_modules.{number}"][0] == plain[f"local_modules.{number}"][0]
    assert {part_of(name) for name in again} == {f"local_modules.{number}" for number in range(3)}
    assert not any(".mlp." in name for name in sizes_of("bp with checkpoints", "activations"))


def test_a_closed_form_counts_for_the_module_that_its_rule_reports() -> None:
    parts = {traced("streamed").modules[module] for module in traced("streamed").runs.module}
    assert {"local_modules.0", "local_modules.1", "local_modules.2"} <= parts
    assert not any(name.startswith("local_modules.0.") for name in parts)  # no module is called


@pytest.mark.parametrize("case", ["bp", "published", "streamed", "vectorised", "streamed on a pipeline", "dgl"])
def test_logits_and_beliefs_have_a_number_for_each_class_and_image(case: str) -> None:
    for purpose in ("logits", "beliefs"):
        found = [size for sizes in sizes_of(case, purpose).values() for size in sizes]
        assert found
        assert all(size % (8 * 10 * 4) == 0 for size in found), purpose


def test_an_optimizer_that_is_not_fused_has_temporaries_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    step, images, labels = made_step("bp")
    group = step.optimizer.param_groups[0]
    monkeypatch.setitem(group, "fused", False)
    monkeypatch.setitem(group, "foreach", False)
    from bench.measure.trace.step_trace import trace_memory

    assert "optimizer temporaries" in trace_memory(step, images, labels).created.category
    assert "optimizer temporaries" not in traced("bp").created.category


def test_a_traced_step_leaves_network_and_modules_as_they_were() -> None:
    import torch

    step, images, labels = made_step("streamed on a pipeline")
    call = torch.nn.Module.__call__
    from bench.measure.trace.step_trace import trace_memory

    trace_memory(step, images, labels)
    assert torch.nn.Module.__call__ is call
    assert not {"initial_belief", "run_module"} & set(vars(step.network))
    other, *_ = made_step("streamed on a pipeline")
    for _ in range(4):  # of the memory pass: two before, the traced one, and the allocator's
        other(images, labels, gradients="zero")
    for ours, theirs in zip(step.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_parameters_in_one_storage_are_divided_among_their_modules() -> None:
    sizes = by_part("vectorised", "parameters")
    plain = by_part("bp", "parameters")
    assert sizes == plain


@settings(deadline=None)
@given(changes())
def test_any_events_are_broken_down_at_their_first_peak(events: list[tuple[int, int, str, str]]) -> None:
    breakdown = break_down(step_of(events))
    totals = list(accumulate((size for _, size, *_ in events), initial=0))
    assert breakdown.created_bytes == breakdown.total_bytes == max(totals)
    if events:
        place = totals.index(max(totals))
        expected: Counter[tuple[str, str]] = Counter()
        for _, size, module, category in events[:place]:
            expected[module or "outside of modules", category] += size
        assert {(row.module, row.category): row.bytes for row in breakdown.rows} == dict(+expected)
        assert breakdown.operators_at_peak == place - 1
    assert max((moment.bytes for moment in breakdown.course), default=0) == max(totals)


@settings(deadline=None)
@given(changes())
def test_tables_as_csv_hold_the_same_numbers(events: list[tuple[int, int, str, str]]) -> None:
    breakdown = break_down(step_of(events))
    rows = list(csv.DictReader(io.StringIO(rows_csv(breakdown))))
    assert sum(int(row["bytes"]) for row in rows) == breakdown.total_bytes
    course = list(csv.DictReader(io.StringIO(course_csv(breakdown))))
    assert [int(row["bytes"]) for row in course] == [moment.bytes for moment in breakdown.course]
    for row in course:
        assert sum(int(row[name]) for name in CREATED if name in row) == int(row["bytes"])
    as_json = to_json(breakdown, {"id": "0"})
    assert next(iter(as_json)) == "id"
    assert sum(row["bytes"] for row in as_json["at_peak"]) == as_json["peak_total_bytes"]


@each_case
def test_a_traced_step_passes_between_processes_unchanged(case: str) -> None:
    answer = Answer(status="ok", traced_step=traced(case))
    assert Answer.parse(answer.line()) == answer


def test_the_images_are_in_the_batch() -> None:
    images: Tensor = made_step("bp")[1]
    held = traced("bp").held
    found = {
        name: size
        for name, category, size in zip(held.name, held.category, held.bytes, strict=True)
        if category == "batch"
    }
    assert found == {"images": images.nbytes, "labels": 8 * 8}
