"""Comparisons from records: each statistic, and what is never used in silence."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from record_builder import in_a_row, made_data, made_ranks, made_trained, make_record

from bench.analysis.statistics.comparison import Exact, NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.measures import OF_ONE, OF_TWO, TIMED
from bench.analysis.statistics.provider import Found, Request
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.statistic import STATISTICS
from bench.store.record import Record

SID, BP = {"method": "sid-streamed"}, {"method": "bp"}
TIMING = {"passes": ["latency"]}
TRAINING = {"passes": ["accuracy"], "depth": 3, "modules": 3}
FEW = (0.90, 0.92, 0.91)


def find(
    statistic: str,
    records: Iterable[Record],
    method: dict[str, Any] = SID,
    against: dict[str, Any] | None = BP,
    **where: list[Any],
) -> Sequence[Found] | NotMeasured:
    return RecordProvider(records).find(Request(STATISTICS[statistic], method, against, where))


def outcome(*arguments: Any, **where: Any) -> Outcome:
    """The outcome in the only cell."""
    found = find(*arguments, **where)
    if isinstance(found, NotMeasured):
        return found
    (one,) = found
    return one.outcome


def estimate(*arguments: Any, **where: Any) -> Estimate:
    one = outcome(*arguments, **where)
    assert isinstance(one, Estimate), one
    return one


def reason(*arguments: Any, **where: Any) -> str:
    one = outcome(*arguments, **where)
    assert isinstance(one, NotMeasured), one
    return one.because


def timed(method: str, *processes: float, **fields: Any) -> Record:
    cell = {"method": method, **TIMING} | fields.pop("cell", {})
    blocks = [
        [(0.01 * ratio * shift, 0.01, 0.01, 0.01 * ratio * shift) for shift in (0.99, 1.0, 1.01)] for ratio in processes
    ]
    return make_record(cell, latency=(processes[0], processes[0], processes[0]), blocks=blocks, **fields)


def test_every_statistic_has_one_measure() -> None:
    tables = [set(OF_TWO), set(OF_ONE), set(TIMED)]
    assert set.union(*tables) == set(STATISTICS)
    assert sum(map(len, tables)) == len(STATISTICS)
    assert {name for name, row in STATISTICS.items() if row.reference is not None} == set(OF_ONE)


@pytest.mark.parametrize(("statistic", "factor"), [("activation_bytes", 1), ("total_bytes", 2)])
def test_bytes_are_exact(statistic: str, factor: int) -> None:
    records = [make_record({**side, "passes": ["memory"]}, size) for side, size in ((SID, 30), (BP, 100))]
    assert outcome(statistic, records) == Exact(30 * factor, 100 * factor)


def test_bytes_on_ranks_are_of_the_rank_that_needs_most() -> None:
    ranks = made_ranks([2, 2], peak_activation_bytes=[30, 20], peak_total_bytes=[50, 90])
    cell = {"method": "sid-parallel", "ranks": 2, "passes": ["memory"]}
    records = [make_record(cell, 30, ranks=ranks), make_record({**BP, "passes": ["memory"]}, 100)]
    method = {"method": "sid-parallel", "ranks": 2}
    assert outcome("total_bytes", records, method) == Exact(90, 200)
    assert outcome("activation_bytes", records, method) == Exact(30, 100)


def test_seeds_of_a_cell_hold_the_same_bytes_or_none() -> None:
    def records(*sizes: int) -> list[Record]:
        of_bp = make_record({**BP, "passes": ["memory"]}, 100)
        return [of_bp, *(make_record({**SID, "seed": i, "passes": ["memory"]}, size) for i, size in enumerate(sizes))]

    assert outcome("activation_bytes", records(30, 30)) == Exact(30, 100)
    assert reason("activation_bytes", records(30, 31)) == "records of one cell differ, from 30 to 31 bytes"
    assert "0 bytes" in reason("activation_bytes", records(0))


def test_a_time_compared_with_bp_needs_the_methods_record_alone() -> None:
    one = estimate("step_time", [timed("sid-streamed", *FEW)])
    assert one.value == pytest.approx(np.mean(np.log(FEW)))
    assert one.processes == (3,)
    assert one.interval() is not None
    assert estimate("throughput", [timed("sid-streamed", *FEW)]).value == pytest.approx(-one.value)


def test_one_process_gives_no_interval() -> None:
    one = estimate("step_time", [timed("sid-streamed", 0.9)])
    assert (one.processes, one.error, one.interval()) == ((1,), None, None)


def test_the_records_of_a_cell_are_one_sample_of_processes() -> None:
    cells: list[dict[str, Any]] = [{"seed": 0}, {"seed": 1}, {"seed": 1, "latency_seconds": 5.0}]
    cells += [{"seed": 2, "noise_rate": 0.4}, {"seed": 2, "epochs": 7}]
    one = estimate("step_time", [timed("sid-streamed", 0.9, cell=cell) for cell in cells])
    assert one.processes == (5,), "neither noise nor epochs bear on times"


def test_two_methods_are_compared_through_bp() -> None:
    records = [timed("sid-streamed", *FEW), timed("sid-published", 1.4, 1.5)]
    one = estimate("step_time", records, SID, {"method": "sid-published"})
    assert one.value == pytest.approx(np.mean(np.log(FEW)) - np.mean(np.log((1.4, 1.5))))
    assert one.processes == (3, 2)
    other = estimate("step_time", records, {"method": "sid-published"}, SID)
    assert other.value == pytest.approx(-one.value)


def test_seeds_that_a_claim_selects_are_those_of_both_methods() -> None:
    records = [timed(name, 0.9, cell={"seed": s}) for name in ("sid-streamed", "sid-published") for s in range(4)]
    one = estimate("step_time", records, SID, {"method": "sid-published"}, seed=[0, 1, 2])
    assert one.processes == (3, 3)


def test_bp_may_be_the_first_method() -> None:
    records = [timed("bp", 1.0, 1.01), timed("sid-streamed", *FEW)]
    assert estimate("step_time", records, BP, SID).value == pytest.approx(-np.mean(np.log(FEW)))


def test_times_beside_bp_in_another_cell_do_not_compare() -> None:
    records = [timed("sid-streamed", *FEW), timed("bp", 1.0, 1.01, cell={"modules": 1})]
    assert "were not timed beside the same cell" in reason("step_time", records, SID, {**BP, "modules": 1})


def test_throughput_on_ranks_is_compared_through_bp_on_one_rank() -> None:
    cell = {"network": "pipeline-linear", "depth": 4, "modules": 4, "ranks": 2, "dataset": "random", "image_size": 16}
    records = [timed(name, ratio, ratio * 1.02, cell=cell) for name, ratio in (("sid-pipelined", 0.5), ("bp-zbv", 0.7))]
    sides = [{"method": name, "ranks": 2} for name in ("sid-pipelined", "bp-zbv")]
    one = estimate("throughput", records, *sides)
    assert one.value == pytest.approx(math.log(0.7 / 0.5))
    assert one.processes == (2, 2)


@pytest.mark.parametrize(
    ("noisy", "told"),
    [
        ("sid-streamed", "sid-streamed: its times are noisy: a stall"),
        ("bp", "sid-streamed: bp in its own record is noisy: a stall"),
    ],
)
def test_noisy_times_are_not_used(noisy: str, told: str) -> None:
    def records(seed: int) -> list[Record]:
        return [
            timed(method, *FEW, cell={"seed": seed}, noisy_because="a stall" if method == noisy else None)
            for method in ("bp", "sid-streamed")
        ]

    assert reason("step_time", records(0)) == told
    quiet = timed("sid-streamed", 0.9, 0.92, cell={"seed": 1})
    one = estimate("step_time", [*records(0), quiet])
    assert one.processes == (2,)
    assert one.note == f"1 record left out ({told})"


def test_times_of_two_machines_do_not_compare() -> None:
    def records(cpu: str, **environment: Any) -> list[Record]:
        here = timed("sid-streamed", *FEW, environment={"cpu": "fast"})
        return [here, timed("sid-published", *FEW, environment={"cpu": cpu, **environment})]

    against = {"method": "sid-published"}
    assert "different machines" in reason("step_time", records("slow"), SID, against)
    assert estimate("step_time", records("fast", commit="another", command="x"), SID, against).processes == (3, 3)


def test_blocks_that_belong_to_no_process_are_not_used() -> None:
    record = timed("sid-streamed", *FEW)
    assert record.latency is not None
    broken = record.model_copy(update={"latency": record.latency.model_copy(update={"blocks_by_process": [9, 1]})})
    assert "which blocks are of which process" in reason("step_time", [broken])


def test_times_that_are_not_above_0_are_not_used() -> None:
    assert reason("step_time", [timed("sid-streamed", 0.9, 0.0)]) == "sid-streamed: a time is not above 0"


def test_the_locked_share_is_that_of_the_trace() -> None:
    cell = {"depth": 2, "modules": 2, **TIMING}
    sid = in_a_row(("f1", 1), ("b1", 1), ("f2", 1), ("b2", 1), ("s", 1))
    bp = in_a_row(("f1", 1), ("f2", 1), ("b2", 1), ("b1", 1), ("s", 1))

    def records(seeds: int) -> list[Record]:
        return [
            make_record({**side, **cell, "seed": seed}, trace=trace)
            for seed in range(seeds)
            for side, trace in ((SID, sid), (BP, bp))
        ]

    one = estimate("locked_share", records(1))
    assert one.value == pytest.approx(-0.2), "module 1 waits for two of five seconds, module 2 never"
    assert (one.error, one.processes) == (None, (1, 1))
    several = estimate("locked_share", records(3))
    assert several.processes == (3, 3)
    assert several.interval() is not None
    by_process = [
        make_record({**side, **cell}, latency=(1.0, 0.9, 1.1), trace=trace, locked_shares=shares)
        for side, trace, shares in ((SID, sid, [0.0, 0.1]), (BP, bp, [0.3, 0.5, 0.1]))
    ]
    processes = estimate("locked_share", by_process)
    assert processes.value == pytest.approx(-0.25), "the mean of all processes, not the one that is traced"
    assert processes.processes == (2, 3)
    assert processes.interval() is not None
    at_once = make_record({**SID, **cell}, trace=in_a_row(("f", 1), ("b", 1), ("s", 1)))
    assert "modules are not separate" in reason("locked_share", [at_once, *records(1)[1:]])
    assert "holds no trace" in reason("locked_share", [make_record({**SID, **cell}), *records(1)[1:]])


def test_accuracies_are_paired_by_seed_and_image() -> None:
    records = [made_trained("sid-streamed", seed, 0.9) for seed in range(4)] + [
        made_trained("bp", seed, 0.8) for seed in (1, 2)
    ]
    for statistic in ("accuracy_last", "accuracy_chosen", "accuracy_last_against_chosen"):
        one = estimate(statistic, records)
        assert one.value == pytest.approx(0.1)
        assert (one.seeds, one.images) == (2, 100)
        assert one.note == "seeds of one method only are left out: 0, 3"


def test_the_last_epoch_can_be_compared_with_the_chosen_one() -> None:
    records = [
        made_trained(method, seed, 0.7, correct_chosen=np.arange(100) < 95)
        for method in ("bp", "sid-streamed")
        for seed in range(3)
    ]
    assert estimate("accuracy_last", records).value == pytest.approx(0)
    assert estimate("accuracy_last_against_chosen", records).value == pytest.approx(-0.25)


def old(method: str, seed: int, accuracy: float, images: int | None = 1000, **cell: Any) -> Record:
    """A record like those of schemas 1 to 3, which do not say which images were right."""
    data = None if images is None else made_data(8, "a", images)
    return make_record({"method": method, **TRAINING, "seed": seed, **cell}, accuracy=accuracy, data=data)


def test_without_outcomes_by_image_the_interval_allows_for_the_most_that_images_can_change() -> None:
    records = [old(method, s, 0.9 + 0.001 * s + gain) for method, gain in (("bp", 0), ("sid-streamed", 0.02))
               for s in range(3)]  # fmt: skip
    one = estimate("accuracy_last", records)
    assert one.value == pytest.approx(0.02)
    assert (one.seeds, one.images) == (3, 1000)
    assert one.note is not None
    assert one.note.startswith("paired over seeds only: records do not say which images")
    # On 1,000 images, accuracies of 90.1 and 92.1 % differ on at most 17.8 % of them.
    assert one.error == pytest.approx(math.sqrt((0.178 - 0.02**2) / 1000), rel=0.01)


def test_without_the_number_of_images_there_is_no_interval() -> None:
    records = [old(m, s, 0.8 + 0.01 * s * (m == "bp"), images=None) for m in ("bp", "sid-streamed") for s in range(3)]
    one = estimate("accuracy_last", records)
    assert (one.seeds, one.images, one.error) == (3, None, None)
    assert one.note is not None
    assert "over seeds only" in one.note


def test_old_records_with_noise_have_no_chosen_epoch() -> None:
    records = [old(method, 0, 0.9, noise_rate=0.4) for method in ("bp", "sid-streamed")]
    assert "no epoch that validation with noisy labels chose" in reason("accuracy_chosen", records)


def test_accuracies_on_other_data_do_not_compare() -> None:
    records = [made_trained("sid-streamed", 0, 0.9), made_trained("bp", 0, 0.8, data=made_data(8, "b", 100))]
    assert reason("accuracy_last", records) == "the data differ between records"
    assert reason("accuracy_last", [made_trained("sid-streamed", 0, 0.9), made_trained("bp", 1, 0.8)]) == (
        "there are no two records of one seed"
    )


def test_test_sets_of_unknown_data_must_be_equally_large() -> None:
    records = [
        made_trained(method, 0, 0.5, images, data=None) for method, images in (("bp", 100), ("sid-streamed", 50))
    ]
    assert reason("accuracy_last", records) == "the test sets of the two differ: 50 and 100 images"


def test_modules_are_compared_with_the_one_before() -> None:
    records = [
        make_record(
            {**SID, **TRAINING, "seed": seed},
            accuracy=0.9,
            by_module=[0.7 + 0.001 * seed, 0.9, 0.8],
            kl=[1.0, 0.25 + 0.001 * seed, 0.5],
            data=made_data(8, "a", 100),
        )
        for seed in range(4)
    ]
    found = find("accuracy_by_module", records, SID, None)
    assert not isinstance(found, NotMeasured)
    assert [one.cell.rpartition(", ")[2] for one in found] == ["module 2", "module 3"]
    assert [one.outcome.value for one in found if isinstance(one.outcome, Estimate)] == pytest.approx([0.1985, -0.1])
    found = find("divergence_by_module", records, SID, None)
    assert not isinstance(found, NotMeasured)
    first, second = (one.outcome for one in found)
    assert isinstance(first, Estimate)
    assert isinstance(second, Estimate)
    assert first.value == pytest.approx(math.log(0.2515 / 0.5), abs=1e-3)
    assert second.value == pytest.approx(math.log(0.5 / (0.5 * 0.2515)), abs=1e-3)
    assert first.seeds == 4
    assert first.note is not None
    assert "over seeds only" in first.note


@pytest.mark.parametrize(
    ("method", "cell", "kl", "told"),
    [
        ("bp", {}, [1, 1, 1], "alpha is unset"),
        ("sid-streamed", {"alpha": 1.0}, [1, 1, 1], "alpha is 1"),
        ("sid-streamed", {}, [1, 0.0, 1], "module 2 or the one before it has no divergence above 0 with seed 0"),
        ("sid-streamed", {}, [1, None, 1], "module 2 or the one before it has no divergence above 0 with seed 0"),
    ],
)
def test_a_divergence_that_is_not_defined_is_not_measured(
    method: str, cell: dict[str, Any], kl: list[float | None], told: str
) -> None:
    record = make_record({"method": method, **TRAINING, **cell}, accuracy=0.9, kl=kl)
    found = find("divergence_by_module", [record], {"method": method, **cell}, None)
    assert not isinstance(found, NotMeasured)
    assert isinstance(found[0].outcome, NotMeasured)
    assert told in found[0].outcome.because


def test_alpha_of_each_module_counts_in_its_divergence() -> None:
    alpha = (0.2, 0.5, 0.75)
    record = make_record({**SID, **TRAINING, "alpha": alpha}, accuracy=0.9, kl=[1.0, 0.5, 0.125])
    found = find("divergence_by_module", [record], {**SID, "alpha": list(alpha)}, None)
    assert not isinstance(found, NotMeasured)
    assert [one.outcome.value for one in found if isinstance(one.outcome, Estimate)] == pytest.approx([0, 0])


def test_one_module_has_none_before_it() -> None:
    record = make_record({**SID, "depth": 1, "modules": 1, "passes": ["accuracy"]}, accuracy=0.9)
    assert reason("accuracy_by_module", [record], SID, None) == "no record of sid-streamed has two modules"


@pytest.mark.parametrize("status", ["oom", "timeout", "crashed", "skipped"])
def test_a_record_that_is_not_ok_is_not_used_and_told(status: str) -> None:
    failed = make_record({**BP, "passes": ["memory"]}, status=status, message="it broke.\nTraceback")
    records = [make_record({**SID, "passes": ["memory"]}, 30), failed]
    assert reason("activation_bytes", records) == f"bp: {status}: it broke"
    assert reason("activation_bytes", [records[0], failed], BP, SID) == f"bp: {status}: it broke"


def test_why_there_is_no_cell() -> None:
    records = [make_record({**SID, "passes": ["memory"]}, 30)]
    assert reason("activation_bytes", []) == "there is no record of sid-streamed"
    assert reason("activation_bytes", records, {**SID, "alpha": 0.3}) == "there is no record of sid-streamed, alpha 0.3"
    assert reason("activation_bytes", records, depth=[5, 7]) == "there is no record of sid-streamed with depth = 5 or 7"
    assert reason("step_time", records) == "no record of sid-streamed has the pass 'latency'"
    assert reason("activation_bytes", records) == "there is no record of bp in a cell of sid-streamed"
    assert reason("inference_bytes", records) == "no record of sid-streamed has the pass 'inference'"
    assert reason("inference_time", records) == "no record of sid-streamed has the pass 'inference'"


def test_a_comparison_names_the_records_of_the_first_method() -> None:
    sid = [made_trained("sid-streamed", seed, 0.9) for seed in (0, 1)]
    other = made_trained("sid-streamed", 0, 0.9, cell={"depth": 5, "modules": 5})
    bp = [made_trained("bp", seed, 0.8) for seed in (0, 1)]
    (found,) = find("accuracy_last", [*sid, other, *bp])
    assert set(found.records) == {record.id for record in sid}
    of_modules = find("accuracy_by_module", [*sid, other], against=None)
    assert not isinstance(of_modules, NotMeasured)
    assert [set(one.records) for one in of_modules] == [{record.id for record in sid}] * 2 + [{other.id}] * 4
