"""The three answers of a page: their verdicts, their cells, what speaks against them, and what their numbers are."""

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import made_data, made_ranks, make_record

from bench.analysis.answer.answer import Answer
from bench.analysis.answer.answers import answers_of
from bench.analysis.answer.methods import methods_of, subject_of
from bench.analysis.frame import records_frame
from bench.analysis.statistics.accuracies import Predictions, accuracy_difference
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.pairing import entry_of
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.units import estimate_over
from bench.config.sweep import load_sweep
from bench.store.record import Record

PROCESSES = (0.999, 1.0, 1.001)
MIB = 2**20


def answers(records: Sequence[Record], results: str | None = None) -> dict[str, Answer]:
    """The answers by name."""
    frame = records_frame(records)
    found = answers_of(RecordProvider(records), frame[frame["status"] == "ok"], results)
    assert [answer.name for answer in found] == ["memory", "time", "accuracy"]
    return {answer.name: answer for answer in found}


def text_of(answer: Answer) -> str:
    return " ".join([answer.number, answer.unit, answer.sentence, *answer.besides])


def held(method: str, size: int, **axes: Any) -> Record:
    return make_record({"method": method, "passes": ["memory"], **axes}, size)


def timed(method: str, *ratios: float, size: int | None = None, **fields: Any) -> Record:
    """A record with one process per ratio."""
    cell = {"method": method, "passes": ["memory", "latency"] if size else ["latency"], **fields.pop("cell", {})}
    blocks = [[(0.01 * ratio, 0.01, 0.01, 0.01 * ratio)] * 3 for ratio in ratios]
    return make_record(cell, size, (ratios[0], 0.9 * ratios[0], 1.1 * ratios[0]), blocks=blocks, **fields)


def trained(
    method: str,
    right: float,
    seeds: int = 5,
    images: int = 1000,
    chosen: float | None = None,
    first: int = 0,
    **axes: Any,
) -> list[Record]:
    """Records that predict the images from ``first`` on correctly, with each seed one more."""
    return [
        make_record(
            {"method": method, "passes": ["accuracy"], "seed": seed, **axes},
            correct=np.roll(np.arange(images) < round(right * images) + seed, first),
            correct_chosen=None if chosen is None else np.arange(images) < round(chosen * images) + seed,
            data=made_data(8, "a", images),
        )
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("size", "verdict", "number"),
    [
        (30, "better", "30.0 %"),
        (130, "worse", "130 %"),
        (98, "equivalent", "98.0 %"),
        (100, "equivalent", "100 %"),
        (105, "equivalent", "105 %"),
    ],
)
def test_bytes_get_exact_verdicts(size: int, verdict: str, number: str) -> None:
    answer = answers([held("bp", 100 * MIB), held("sid-streamed", size * MIB)])["memory"]
    assert (answer.question, answer.verdict, answer.number) == ("Does SID need less memory?", verdict, number)
    assert answer.sentence == (
        f"sid-streamed holds {number} of BP's activation bytes, {size:.{0 if size >= 100 else 1}f} of 100 MiB (exact), "
        "on cascade-linear, digits, depth 4, modules 4, hidden 256, batch 128, adam."
    )
    assert answer.command is None


@pytest.mark.parametrize("ratio", [0.99999, 1.00001, 0.9999, 1.004])
def test_a_ratio_that_is_not_one_does_not_read_as_one(ratio: float) -> None:
    records = [held("bp", 10**9), held("sid-streamed", round(ratio * 10**9))]
    assert math.isclose(float(answers(records)["memory"].number.removesuffix(" %")) / 100, ratio, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.80, 0.81, 0.79, 0.80, 0.80), "better"),
        ((1.20, 1.21, 1.19, 1.20, 1.20), "worse"),
        ((1.001, 0.999, 1.002, 0.998, 1.0), "equivalent"),
        ((0.70, 1.30, 0.90, 1.10, 1.0), "undecided"),
    ],
)
def test_times_get_verdicts_from_their_interval(ratios: tuple[float, ...], verdict: str) -> None:
    answer = answers([timed("sid-streamed", *ratios)])["time"]
    assert (answer.question, answer.verdict) == ("Is SID faster?", verdict)
    assert re.match(
        r"sid-streamed takes [\d.]+ \[[\d.]+, [\d.]+\] of BP's time per step \(5 processes, 95 % interval\), on c",
        answer.sentence,
    )
    assert answer.command is None


def test_one_process_decides_nothing_and_the_answer_says_what_to_run() -> None:
    answer = answers([timed("sid-streamed", 0.5)])["time"]
    assert (answer.verdict, answer.number) == ("undecided", "0.50")
    assert "(1 process, which gives no interval)" in answer.sentence
    assert answer.besides[0] == "Within its only process, which says nothing of others: 0.50 [0.45, 0.55]."
    assert answer.command is not None
    (cell,) = (cell for cell in cells_of(answer.command) if cell.method == "sid-streamed")
    assert (cell.processes, cell.passes, cell.modules) == (5, ("latency",), 4)


def test_a_failure_beside_a_result_of_its_cell_is_not_what_an_answer_rests_on() -> None:
    failure = make_record({"method": "sid-streamed", "passes": ["latency"], "seed": 1}, status="crashed", message="why")
    result = timed("sid-streamed", 0.5)
    answer = answers([failure, result])["time"]
    assert (answer.verdict, answer.record) == ("undecided", result.id)
    assert answer.command is not None


def test_noisy_times_are_not_measured() -> None:
    answer = answers([timed("sid-streamed", 0.5, 0.5, noisy_because="the times spread by 40 %")])["time"]
    assert (answer.verdict, answer.number) == ("not measured", "")
    assert answer.sentence == (
        "sid-streamed is not compared with BP: sid-streamed: its times are noisy: the times spread by 40 %."
    )


@pytest.mark.parametrize(
    ("right", "first", "verdict"),
    [(0.90, 0, "better"), (0.70, 0, "worse"), (0.80, 0, "equivalent"), (0.81, 500, "undecided")],
)
def test_accuracies_get_verdicts_from_seeds_and_images(right: float, first: int, verdict: str) -> None:
    answer = answers([*trained("bp", 0.80), *trained("sid-streamed", right, first=first)])["accuracy"]
    assert (answer.question, answer.verdict) == ("Is SID as accurate?", verdict)
    assert float(answer.number) == pytest.approx(100 * (right - 0.8), abs=0.05)
    assert "(5 seeds, 1,000 images, 95 % interval corrected for 2 comparisons)" in answer.sentence
    assert f", {100 * right + 0.2:.1f} and 80.2 % (" in answer.sentence
    assert ("equal within 0.5 points" in answer.sentence) == (verdict == "equivalent")


def test_one_seed_gives_no_interval_and_a_command_for_ten() -> None:
    answer = answers([*trained("bp", 0.8, seeds=1), *trained("sid-streamed", 0.9, seeds=1)])["accuracy"]
    assert (answer.verdict, answer.number) == ("undecided", "+10.0")
    assert answer.command is not None
    assert {cell.seed for cell in cells_of(answer.command)} == set(range(10))
    assert re.search(r"minus BP's is [+-]\d+\.\d points with ", text_of(answer))


def test_the_least_favourable_of_noise_rates_and_epochs_decides_and_all_are_shown() -> None:
    records = [
        *trained("bp", 0.80),
        *trained("sid-streamed", 0.90),
        *trained("bp", 0.60, noise_rate=0.2),
        *trained("sid-streamed", 0.10, noise_rate=0.2),
        *trained("bp", 0.60, noise_rate=0.4, chosen=0.75),
        *trained("sid-streamed", 0.65, noise_rate=0.4, chosen=0.55),
    ]
    answer = answers(records)["accuracy"]
    assert (answer.verdict, answer.number) == ("worse", "-20.0")
    assert "with noise 0.4, chosen epoch, 55.2 and 75.2 %" in answer.sentence
    assert re.match(
        r"Minus BP, besides: clean labels, last epoch \+10\.0 \[.*\], better; clean labels, chosen epoch \+10\.0 "
        r"\[.*\], better; noise 0\.4, last epoch \+5\.0 \[.*\], better\.",
        answer.besides[0],
    )
    assert "noise 0.2" not in answer.besides[0]


def test_every_kind_of_noise_with_the_highest_rate_counts() -> None:
    records = [
        record
        for kind, bp, sid in (("pairflip", 0.6, 0.7), ("symmetric-inclusive", 0.9, 0.8))
        for method, share in (("bp", bp), ("sid-streamed", sid))
        for record in trained(method, share, noise_rate=0.4, noise_kind=kind)
    ]
    for ordered in (records, records[::-1]):
        answer = answers(ordered)["accuracy"]
        assert (answer.verdict, answer.number) == ("worse", "-10.0")
        assert "with symmetric-inclusive noise 0.4, last epoch, 80.2 and 90.2 %" in answer.sentence
        assert "pairflip noise 0.4, last epoch +10.0 [" in answer.besides[0]


def test_an_epoch_that_old_records_lack_is_named() -> None:
    records = [
        make_record({"method": method, "noise_rate": 0.4, "seed": seed, "passes": ["accuracy"]}, accuracy=accuracy)
        for method, accuracy in (("bp", 0.7), ("sid-streamed", 0.8))
        for seed in (0, 1)
    ]
    assert "Minus BP, besides: noise 0.4, chosen epoch not measured." in answers(records)["accuracy"].besides


def test_more_accurate_methods_are_named_beside_the_answer() -> None:
    records = [
        *trained("bp", 0.80),
        *trained("sid-streamed", 0.82),
        *trained("deep-supervision", 0.81),
        *trained("bp-label-smoothing", 0.95),
        *trained("bp", 0.99, modules=1),
    ]
    answer = answers(records)["accuracy"]
    plain, rival = (next(text for text in answer.besides if name in text) for name in ("plain BP", "the most accurate"))
    assert re.match(r"Minus plain BP \(one module\): -17\.0 \[.*\], worse \(clean labels, last epoch\)", plain)
    assert re.match(r"Minus bp-label-smoothing, the most accurate other method here: -13\.0 \[.*\], worse", rival)
    assert "deep-supervision" not in text_of(answer)
    assert "corrected for 6 comparisons" in answer.sentence


def test_bp_with_a_setting_is_no_other_method_to_be_more_accurate_than() -> None:
    records = [*trained("bp", 0.80), *trained("sid-streamed", 0.82)]
    of_bp = [
        *trained("bp-checkpoint", 0.95),
        *trained("bp-microbatch", 0.95),
        *trained("bp-step-in-backward", 0.95),
    ]
    assert "most accurate" not in text_of(answers([*records, *of_bp])["accuracy"])
    other = trained("deep-supervision", 0.70)
    assert "Minus deep-supervision, the most accurate" in text_of(answers([*records, *of_bp, *other])["accuracy"])


@pytest.mark.parametrize(
    ("rates", "seeds", "chosen", "joint"),
    [
        ((0.0,), 5, 0.75, "to"),  # worse at both epochs: a range
        ((0.0,), 5, 0.90, "and"),  # better at one
        ((0.0,), 1, 0.75, "and"),  # no interval
        ((0.0, 0.4), 5, 0.90, "to"),  # the ends of four
    ],
)
def test_two_verdicts_are_joined_by_and_and_a_range_by_to(
    rates: tuple[float, ...], seeds: int, chosen: float, joint: str
) -> None:
    of_methods = {"bp": (0.8, 0.8), "sid-streamed": (0.7, chosen), "deep-supervision": (0.82, 0.82)}
    records = [
        record
        for method, (last, best) in of_methods.items()
        for rate in rates
        for record in trained(method, last - rate / 4, seeds, chosen=best - rate / 8, noise_rate=rate)
    ]
    (text,) = (text for text in answers(records)["accuracy"].besides if "the most accurate other" in text)
    assert [word for word in ("to", "and") if f") {word} " in text] == [joint]


def test_other_methods_and_cells_speak_against_a_gain_in_memory() -> None:
    records = [
        held("bp", 100, depth=8, modules=8),
        held("sid-streamed", 10, depth=8, modules=8),
        held("sid-published", 110, depth=8, modules=8),
        held("sid-vectorised", 150, depth=8, modules=8),
        held("sid-streamed-autograd", 20, depth=8, modules=8),
        held("bp-checkpoint", 5, depth=8, modules=8),
        held("bp-plain", 90, depth=8, modules=8, network="pipeline-linear"),
        held("bp", 100),
        held("sid-streamed", 99),
        held("bp", 100, network="cascade-conv"),
        held("sid-streamed", 120, network="cascade-conv"),
    ]
    answer = answers(records)["memory"]
    assert (answer.verdict, answer.number) == ("better", "10.0 %")
    assert answer.besides == (
        "With weights, gradients, optimizer and batch it needs 10.0 % of BP's bytes in total.",
        "SID's other methods: 20.0 % (sid-streamed-autograd) to 150 % (sid-vectorised); 110 % (sid-published, as "
        "published).",
        "Without SID's objective: 5.0 % (bp recompute modules).",
        "It needs fewer bytes than BP by more than 5 % in 1 of 3 cells (on the largest cells of 1 of 2 networks): from "
        "10.0 % (this cell) to 120 % (cascade-conv, depth 4, modules 4).",
    )


def test_times_of_other_methods_have_intervals_of_one_family() -> None:
    ratios = {"sid-streamed": 0.9, "sid-published": 1.4, "sid-streamed-autograd": 1.1, "bp-checkpoint": 1.6}
    records = [
        timed(method, *(ratio * one for one in PROCESSES), size=round(1000 * ratio)) for method, ratio in ratios.items()
    ]
    answer = answers(records)["time"]
    assert "corrected for 4 comparisons" in answer.sentence
    low, high = r"1\.1\d+ \[.*\] \(sid-streamed-autograd\)", r"1\.4\d+ \[.*\] \(sid-published, as published\)"
    assert re.fullmatch(f"SID's other methods: {low} to {high}.", answer.besides[0])
    assert re.fullmatch(r"Without SID's objective: 1\.6\d+ \[.*\] \(bp recompute modules\)\.", answer.besides[1])


def test_each_answer_names_its_own_cell() -> None:
    large = {"depth": 8, "modules": 8}
    records = [
        held("bp", 300, depth=16, modules=16),
        held("sid-streamed", 30, depth=16, modules=16),
        timed("bp", *PROCESSES, size=100, cell=large),
        timed("sid-streamed", *PROCESSES, size=20, cell=large),
        *trained("bp", 0.8),
        *trained("sid-streamed", 0.9),
        *trained("bp", 0.8, seeds=2, **large),
        *trained("sid-streamed", 0.5, seeds=2, **large),
    ]
    found = answers(records)
    assert found["memory"].number == "20.0 %"
    for name, depth in (("memory", 8), ("time", 8), ("accuracy", 4)):
        assert f"depth {depth}, modules {depth}, " in found[name].sentence
        (record,) = (record for record in records if record.id == found[name].record)
        assert (record.cell.depth, record.cell.method) == (depth, "sid-streamed")


def test_a_cell_on_ranks_is_compared_with_one_rank_and_with_schedules_of_bp_elsewhere() -> None:
    pipeline = {"network": "pipeline-linear", "depth": 4, "width": 64, "dataset": "random", "image_size": 8}
    one_rank = {"one_rank_blocks_by_process": [1, 1], "one_rank_blocks_seconds": [(0.6, 1, 1, 0.6)] * 2}
    ranks = made_ranks([2, 2], ratio_to_one_rank=0.6, bound=0.55, peak_total_bytes=[30, 40], **one_rank)
    parallel = {"ranks": 2}
    records = [
        held("bp", 100),
        timed("sid-parallel", *(0.6 * one for one in PROCESSES), size=50, cell=parallel, ranks=ranks),
        timed("bp-1f1b", *(0.8 * one for one in PROCESSES), cell=parallel | pipeline, ranks=made_ranks([2, 2])),
        timed("bp-gpipe", *(0.9 * one for one in PROCESSES), cell=parallel | pipeline, ranks=made_ranks([2, 2])),
    ]
    found = answers(records)
    assert found["memory"].sentence.startswith(
        "sid-parallel on 2 ranks holds 50.0 % of BP's activation bytes on the rank that needs most, "
    )
    assert found["memory"].besides[0].endswith("needs 20.0 % of BP's bytes in total.")
    one, schedules = found["time"].besides[:2]
    assert re.fullmatch(
        r"It takes 0\.60.* \[.*\] of its own time on one rank \(2 processes, .*\); its schedule allows 0\.55\.",
        one,
    )
    assert re.match(
        r"Without SID's objective, the least of 2: 0\.80.* \[.*\] \(bp-1f1b on 2 ranks, on pipeline-linear", schedules
    )
    assert found["accuracy"].command is not None
    assert {cell.method for cell in cells_of(found["accuracy"].command)} == {"bp", "sid-streamed"}


@pytest.mark.parametrize(
    ("methods", "subject"),
    [
        (["bp", "deep-supervision", "sid-streamed", "mine.py:rule"], "sid-streamed"),
        (["bp", "deep-supervision", "mine.py:rule"], "mine.py:rule"),
        (["bp", "deep-supervision", "bp-checkpoint"], "deep-supervision"),
        (["bp", "bp-checkpoint"], "bp recompute modules"),
        (["sid-published", "sid-streamed", "sid-vectorised"], "sid-streamed"),
    ],
)
def test_the_answers_are_about_sid_or_the_methods_that_are_there(methods: list[str], subject: str) -> None:
    records = [renamed(held(BUILT.get(name, name), SIZES.get(name, 90)), name) for name in methods]
    chosen = subject_of(methods_of(entry_of(record) for record in records))
    assert chosen is not None
    assert chosen.name == subject
    question = "Does SID need less memory?" if "sid" in subject else f"Does {subject} need less memory?"
    assert answers(records)["memory"].question == question


# A rule of somebody's own has no file here, so its record is made from another method's.
BUILT = {"mine.py:rule": "deep-supervision", "gone": "deep-supervision"}
SIZES = {"bp": 100, "sid-streamed": 10}


def renamed(record: Record, method: str) -> Record:
    if record.cell.method == method or method not in BUILT:
        return record
    cell = record.cell.model_copy(update={"method": method})
    return record.model_copy(update={"cell": cell, "id": cell.id})


def test_a_method_of_ones_own_is_always_named_beside_sid() -> None:
    records = [held("bp", 100), held("sid-streamed", 10), held("bp-checkpoint", 5)]
    own = [renamed(held(BUILT[name], size), name) for name, size in (("gone", 40), ("mine.py:rule", 70))]
    besides = answers([*records, *own])["memory"].besides
    assert "Your own methods: 40.0 %, better (gone); 70.0 %, better (mine.py:rule)." in besides
    besides = answers([*records, own[1]])["memory"].besides
    assert "Your own method: 70.0 %, better (mine.py:rule)." in besides
    besides = answers([records[0], *own])["memory"].besides
    assert "Your other method: 70.0 %, better (mine.py:rule)." in besides


def test_many_methods_of_ones_own_are_a_range() -> None:
    records = [held("bp", 100), held("sid-streamed", 10)]
    for number in range(5):
        record = held("deep-supervision", 20 + 10 * number)
        cell = record.cell.model_copy(update={"method": f"mine.py:rule{number}"})
        records.append(record.model_copy(update={"cell": cell, "id": cell.id}))
    besides = answers(records)["memory"].besides
    assert "Your own methods, 5: 20.0 %, better (mine.py:rule0) to 60.0 %, better (mine.py:rule4)." in besides


def test_the_time_of_a_method_of_ones_own_has_an_interval() -> None:
    own = renamed(timed("deep-supervision", *(1.3 * one for one in PROCESSES), size=50), "mine.py:rule")
    answer = answers([timed("sid-streamed", *PROCESSES, size=20), own])["time"]
    assert re.fullmatch(r"Your own method: 1\.30\d* \[1\.\d+, 1\.\d+\], worse \(mine\.py:rule\)\.", answer.besides[0])


def test_the_accuracy_of_a_method_of_ones_own_is_compared_with_bp() -> None:
    records = [*trained("bp", 0.8), *trained("sid-streamed", 0.82)]
    own = [renamed(record, "mine.py:rule") for record in trained("deep-supervision", 0.7, chosen=0.75)]
    answer = answers([*records, *own])["accuracy"]
    (sentence,) = (text for text in answer.besides if text.startswith("Your own method"))
    assert re.fullmatch(
        r"Your own method minus BP, in points: -10\.0 \[-.*\], worse "
        r"\(mine\.py:rule, clean labels, last epoch, 5 seeds, 1,?000 images\)\.",
        sentence,
    )
    assert "corrected for 6 comparisons" in answer.sentence  # two epochs: with BP, with the other method, and its own


def test_one_seed_of_a_method_of_ones_own_decides_nothing() -> None:
    records = [*trained("bp", 0.8, seeds=1), *trained("sid-streamed", 0.82, seeds=1)]
    own = [renamed(record, "mine.py:rule") for record in trained("deep-supervision", 0.7, seeds=1)]
    assert any(
        text.startswith("Your own method minus BP, in points: -10.0, no interval, undecided (mine.py:rule, ")
        for text in answers([*records, *own])["accuracy"].besides
    )


def test_with_bp_alone_or_failures_alone_nothing_is_measured() -> None:
    failure = make_record({"method": "bp"}, status="oom", message="7 GiB")
    for records, because, besides in (
        ([held("bp", 100), *trained("bp", 0.8)], "The records hold no method besides BP.", ()),
        ([failure], "No cell has a result.", ("bp ran out of memory: 7 GiB.",)),
    ):
        found = answers(records)
        assert [answer.question for answer in found.values()] == QUESTIONS_ON_SID
        assert {answer.verdict for answer in found.values()} == {"not measured"}
        assert {answer.sentence for answer in found.values()} == {because}
        assert {answer.besides for answer in found.values()} == {besides}
        assert {answer.command for answer in found.values()} == {"sid-bench run smoke"}


QUESTIONS_ON_SID = ["Does SID need less memory?", "Is SID faster?", "Is SID as accurate?"]


@pytest.mark.parametrize(
    ("status", "happened"),
    [
        ("oom", "ran out of memory"),
        ("timeout", "took too long"),
        ("crashed", "crashed"),
        ("skipped", "was skipped"),
    ],
)
def test_of_a_method_without_a_result_the_answers_say_why(status: Any, happened: str) -> None:
    failure = make_record({"method": "sid-streamed"}, status=status, message="TypeError: 3 arguments\n  but 4")
    for records in ([failure], [held("bp", 100), failure]):
        found = answers(records)
        assert [answer.question for answer in found.values()] == QUESTIONS_ON_SID
        assert {answer.sentence for answer in found.values()} == {
            f"sid-streamed {happened}: TypeError: 3 arguments but 4."
        }
        (command,) = {answer.command for answer in found.values()}
        assert command is not None
        assert command.endswith(" --retry-failed")
        assert list(cells_of(command.removesuffix(" --retry-failed"))) == [failure.cell]


def test_the_answers_are_about_the_rule_of_ones_own_that_crashed() -> None:
    def crashed(method: str, message: str | None) -> Record:
        return renamed(make_record({"method": BUILT.get(method, method)}, status="crashed", message=message), method)

    records = [crashed("bp", None), crashed("deep-supervision", "no"), crashed("mine.py:rule", "KeyError: 'a'")]
    memory = answers([held("bp", 100, depth=8, modules=8), *records])["memory"]
    assert (memory.question, memory.verdict) == ("Does mine.py:rule need less memory?", "not measured")
    assert memory.sentence == "mine.py:rule crashed: KeyError: 'a'."
    assert memory.besides == ("deep-supervision crashed: no.",)
    memory = answers(records)["memory"]
    assert memory.besides == ("bp crashed.", "deep-supervision crashed: no.")


def test_without_bp_bytes_and_accuracies_are_not_measured_and_times_are() -> None:
    records = [timed("sid-streamed", *PROCESSES, size=100), *trained("sid-streamed", 0.9)]
    found = answers(records)
    assert [answer.verdict for answer in found.values()] == ["not measured", "equivalent", "not measured"]
    assert "there is no record of bp" in found["memory"].sentence
    assert found["memory"].command is not None
    assert {cell.method for cell in cells_of(found["memory"].command)} == {"bp", "sid-streamed"}


def test_methods_axes_and_networks_that_are_not_installed_have_answers() -> None:
    def strange(size: int, **changes: Any) -> Record:
        record = held("bp", size)
        cell = record.cell.model_copy(update={"network": "net-of-old", "temperature": 3, **changes})
        return record.model_copy(update={"cell": cell, "id": cell.id})

    found = answers([strange(100), strange(40, method="gone")])
    assert (found["memory"].verdict, found["memory"].number) == ("better", "40.0 %")
    assert "net-of-old" in found["memory"].sentence
    assert "temperature 3" in found["memory"].sentence
    assert (found["time"].verdict, found["time"].command) == ("not measured", None)


def cells_of(command: str) -> Sequence[Any]:
    """The cells that a command measures."""
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("sid-bench", "run")
    assert set(words[::2]) == {"--set"}
    return load_sweep(None, words[1::2]).cells


@pytest.mark.parametrize("wanted", ["memory", "latency", "accuracy"])
@pytest.mark.parametrize(
    "axes",
    [
        {"dataset": "random", "image_size": 16, "channels": 3},
        {"optimizer": "sgd", "noise_rate": 0.4, "epochs": 3},
        {"network": "pipeline-conv", "depth": 5, "modules": 5, "precision": "bfloat16", "threads": 1},
        {"method": "sid-vectorised", "chunk": 2, "alpha": 0.3},
        {"method": "bp", "recompute": "modules"},
    ],
)
def test_the_command_measures_what_is_missing_on_a_legal_cell(wanted: str, axes: dict[str, Any]) -> None:
    other = "latency" if wanted == "memory" else "memory"
    cell = {"method": "sid-streamed", "passes": [other], **axes}
    record = make_record(cell, 100 if other == "memory" else None, (1, 1, 1) if other == "latency" else None)
    answer = answers([record])["time" if wanted == "latency" else wanted]
    assert answer.verdict == "not measured"
    assert answer.command is not None
    cells = cells_of(answer.command)
    assert {cell.method for cell in cells} == {"bp", record.cell.method}
    for found in cells:
        assert found.passes == (wanted,)
        assert (found.network, found.depth, found.modules) == (
            record.cell.network,
            record.cell.depth,
            record.cell.modules,
        )
        assert found.dataset == ("digits" if wanted == "accuracy" else record.cell.dataset)
        assert found.noise_rate == (record.cell.noise_rate if wanted == "accuracy" else 0)
        if found.method == record.cell.method:
            assert (found.chunk, found.recompute) == (record.cell.chunk, record.cell.recompute)


def test_commands_append_to_the_file_of_the_page() -> None:
    failure = make_record({"method": "sid-streamed"}, status="oom", message="out of memory")
    one_seed = [*trained("bp", 0.8, seeds=1), *trained("sid-streamed", 0.9, seeds=1)]
    for records in ([held("bp", 100)], [failure], one_seed):
        into_file = answers(records, "my results.jsonl")
        for name, usual in answers(records).items():
            assert usual.command is not None
            command, again, _ = usual.command.partition(" --retry-failed")
            assert into_file[name].command == f"{command} --out 'my results.jsonl'{again}"


NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*\d)")
METHODS = ("bp", "sid-streamed", "sid-published", "bp-label-smoothing")


@st.composite
def any_page(draw: st.DrawFn) -> list[Record]:
    """Costs of several methods on up to two cells, and accuracies of some with and without noise."""
    records = []
    for depth in draw(st.sampled_from([(2,), (4,), (2, 4)])):
        for method in draw(st.sets(st.sampled_from(METHODS[:3]))):
            ratios = draw(st.lists(st.floats(0.2, 5), min_size=1, max_size=4))
            size = draw(st.integers(MIB, 2**36))
            records.append(timed(method, *ratios, size=size, cell={"depth": depth, "modules": depth}))
    for method in draw(st.sets(st.sampled_from(METHODS))):
        for rate, seed in product((0.0, 0.4), range(draw(st.integers(1, 3)))):
            right = draw(st.lists(st.booleans(), min_size=20, max_size=20))
            cell = {"method": method, "noise_rate": rate, "seed": seed, "passes": ["accuracy"]}
            records.append(make_record(cell, correct=np.array(right), data=made_data(8, "a", 20)))
    return records


@settings(deadline=None, derandomize=True, max_examples=20)
@given(any_page())
def test_every_number_of_an_answer_comes_from_the_records(records: list[Record]) -> None:
    if not records:
        return
    legal = np.array(sorted(quantities(records)))
    for answer in answers(records).values():
        text = re.sub(r"sid-bench run .*", "", text_of(answer))
        for number in NUMBER.findall(text):
            value = float(number)
            digits = len(number.partition(".")[2])
            assert np.abs(legal - value).min() <= 0.5 * 10.0**-digits * (1 + 1e-9), (number, text)


def quantities(records: Sequence[Record]) -> Iterable[float]:
    """Everything that an answer may say of ``records``, computed from their fields."""
    yield from (0.5, 3, 5, 95)  # margins and the confidence
    yield from range(1, 13)  # comparisons, and cells and networks that are counted
    for record in records:
        cell = record.cell
        yield from (cell.depth, cell.modules, cell.hidden, cell.batch_size, cell.epochs, cell.noise_rate, 20)
        yield from own_quantities(record)
    costs = [record for record in records if record.memory is not None]
    for first, second in product(costs, costs):
        if first.cell.depth == second.cell.depth and first.memory and second.memory:
            yield 100 * first.memory.peak_activation_bytes / second.memory.peak_activation_bytes
    yield from differences(records)


def own_quantities(record: Record) -> Iterable[float]:
    if record.memory is not None:
        yield record.memory.peak_activation_bytes / MIB
    if record.latency is not None:
        yield from (record.latency.ratio_to_bp, *record.latency.ratio_ci95, len(record.latency.blocks_by_process))
        blocks = np.log(np.array(record.latency.blocks_seconds))
        logs = (blocks[:, [0, 3]] - blocks[:, [1, 2]]).mean(axis=1)
        estimate = estimate_over("processes", np.split(logs, np.cumsum(record.latency.blocks_by_process)[:-1]))
        yield from map(math.exp, ends_of(estimate))


def differences(records: Sequence[Record]) -> Iterable[float]:
    runs: dict[tuple[str, float], dict[int, Any]] = {}
    for record in records:
        if record.accuracy is not None and record.accuracy.correct_last is not None:
            of = runs.setdefault((record.cell.method, record.cell.noise_rate), {})
            of[record.cell.seed] = record.accuracy.correct_last.decode()
    for (first, second), rate in product(product(METHODS, METHODS), (0.0, 0.4)):
        own, other = runs.get((first, rate), {}), runs.get((second, rate), {})
        common = sorted(own.keys() & other.keys())
        yield len(common)
        if common:
            for side in (own, other):
                yield 100 * float(np.mean([side[seed] for seed in common]))
            parts = [Predictions(tuple(side), np.stack(list(side.values()))) for side in (own, other)]
            yield from (100 * end for end in ends_of(accuracy_difference(*parts)))
            left_out = own.keys() ^ other.keys()
            yield from left_out


def ends_of(estimate: Estimate) -> Iterable[float]:
    """The estimate, and the ends of its interval at each level that Holm's correction may give."""
    yield estimate.value
    for count in range(1, 13):
        yield from estimate.interval(1 - 0.05 / count) or ()
