"""Methods with other heads on a leaderboard, and the sentence on where SID stands."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import made_data, make_record

from bench.analysis.frame import records_frame
from bench.analysis.leaderboard import Board, BoardRow, Setting, StepTime, boards
from bench.analysis.leaderboard import TestAccuracy as AccuracyInSetting
from bench.analysis.places import place_of_sid
from bench.report import write_report
from bench.store.measurements.latency import TimedProcess
from bench.store.record import Record

STAGES = {"network": "pipeline-conv", "modules": 5, "threads": 1}
CLEAN = Setting(0.0, "last", "clean")
IMAGES = 200


def timed(method: str, size: int, own: list[float], bp: list[float], *, cpu: str = "one", **axes: Any) -> Record:
    """A record with the bytes of a method, and in each process the median of its step and of BP's beside it."""
    ratio = own[0] / bp[0]
    cell = {"method": method, "passes": ["memory", "latency"], "processes": len(own), **STAGES, **axes}
    blocks = [[[mine, other, other, mine]] for mine, other in zip(own, bp, strict=True)]
    record = make_record(cell, size, (ratio, 0.9 * ratio, 1.1 * ratio), blocks=blocks, environment={"cpu": cpu})
    assert record.latency is not None
    processes = [
        TimedProcess(median_seconds=mine, bp_median_seconds=other, usage=None, bp_usage=None, parallel_efficiency=None)
        for mine, other in zip(own, bp, strict=True)
    ]
    latency = record.latency.model_copy(update={"processes": processes})
    return record.model_copy(update={"latency": latency})


def trained(method: str, share: float, seed: int, **axes: Any) -> Record:
    correct = np.random.default_rng(seed).permutation(IMAGES) < round(share * IMAGES)
    cell = {"method": method, "seed": seed, "passes": ["accuracy"], "epochs": 5, **STAGES, **axes}
    return make_record(cell, correct=correct, data=made_data(8, test_samples=IMAGES))


def board_of(*records: Record) -> Board:
    (board,) = boards(records_frame(records))
    return board


def row(board: Board, title: str) -> BoardRow:
    (found,) = (row for row in board.rows if row.title == title)
    return found


SECONDS = [0.02, 0.03, 0.02, 0.04]
BP = timed("bp", 1000, SECONDS, SECONDS)


def test_a_method_with_other_heads_is_compared_with_bp_of_the_board() -> None:
    own = [1.5 * seconds for seconds in SECONDS]
    heavier_bp = [2 * seconds for seconds in SECONDS]  # beside it BP trains the same heads
    dgl = timed("dgl", 400, own, heavier_bp, head="mlp-sr")
    records = [trained("bp", 0.7, seed) for seed in range(5)] + [
        trained("dgl", 0.9, seed, head="mlp-sr") for seed in range(5)
    ]
    board = board_of(BP, dgl, timed("bp", 1300, heavier_bp, heavier_bp, head="mlp-sr"), *records)
    assert [one.title for one in board.rows] == ["dgl head mlp-sr", "bp", "bp head mlp-sr"]
    found = row(board, "dgl head mlp-sr")
    assert (found.activation_ratio, found.total_ratio) == (0.4, 0.4)
    assert found.time is not None
    assert found.time.ratio == pytest.approx(1.5), "and not 0.75, the ratio to BP with the same heads"
    assert (found.time.is_across, found.time.processes) == (True, 4)
    assert found.time.low <= 1.5 <= found.time.high
    assert found.accuracies[CLEAN].share == pytest.approx(0.9)
    difference = found.accuracies[CLEAN].difference
    assert difference is not None
    assert difference.estimate is not None
    assert difference.estimate.value == pytest.approx(0.2)
    assert [one.is_baseline for one in board.rows] == [False, True, False]


def test_the_interval_of_such_a_time_is_over_processes() -> None:
    own = [0.02, 0.045, 0.02, 0.04]
    found = row(board_of(BP, timed("dgl", 400, own, own, head="mlp-sr")), "dgl head mlp-sr").time
    logs = [math.log(mine / other) for mine, other in zip(own, SECONDS, strict=True)]
    half = 3.182446 * float(np.std(logs, ddof=1)) / 2  # Student's t with three degrees of freedom
    assert found is not None
    assert math.log(found.ratio) == pytest.approx(float(np.mean(logs)))
    assert math.log(found.high) == pytest.approx(float(np.mean(logs)) + half, rel=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        timed("dgl", 400, SECONDS, SECONDS, head="mlp-sr", cpu="another"),
        timed("dgl", 400, SECONDS[:1], SECONDS[:1], head="mlp-sr"),
        timed("dgl", 400, SECONDS, SECONDS, head="mlp-sr", threads=2),
    ],
    ids=["another machine", "one process", "two threads"],
)
def test_times_that_do_not_compare_are_left_out(other: Record) -> None:
    assert row(board_of(BP, other), "dgl head mlp-sr").time is None


def test_what_authors_train_with_has_a_row_that_says_so() -> None:
    records = [trained(method, 0.8, seed) for method in ("bp", "sid-streamed") for seed in range(3)]
    records += [trained(name, 0.7, seed) for name in ("predsim", "predsim-authors") for seed in range(3)]
    board = board_of(*records)
    titles = {one.title for one in board.rows}
    assert {"predsim head pooled", "predsim head pooled, learning rate 0.0005, schedule cosine"} < titles


@pytest.mark.parametrize("of_costs", ["constant", "cosine"])
def test_costs_and_accuracies_of_other_heads_share_a_row_as_those_of_the_board_do(of_costs: str) -> None:
    """Bytes and times do not depend on the schedule, which accuracies have to have."""
    records = [trained(name, 0.8, seed, schedule="cosine") for name in ("bp", "sid-streamed") for seed in range(3)]
    records += [trained("dgl", 0.9, seed, schedule="cosine", head="mlp-sr") for seed in range(3)]
    board = board_of(BP, timed("dgl", 400, SECONDS, SECONDS, head="mlp-sr", schedule=of_costs), *records)
    assert [one.title for one in board.rows] == ["dgl head mlp-sr", "bp", "sid-streamed"]
    found = row(board, "dgl head mlp-sr")
    assert found.activation_ratio == 0.4
    assert found.time is not None
    assert found.accuracies[CLEAN].share == pytest.approx(0.9)


def test_other_sizes_data_and_epochs_are_not_on_the_board() -> None:
    records = [trained("bp", 0.7, seed) for seed in range(4)]
    others = [
        trained("dgl", 0.9, 0, epochs=50),
        trained("dgl", 0.9, 0, modules=1),
        trained("dgl", 0.9, 0, batch_size=16),
        trained("dgl", 0.9, 0, train_samples=100),
    ]
    assert {one.title for one in board_of(*records, *others).rows} == {"bp"}


def test_of_equally_many_accuracies_the_board_has_the_usual_heads() -> None:
    records = [
        trained(method, 0.9 if head == "conv" else 0.8, seed, head=head)
        for method in ("bp", "sid-streamed")
        for head in ("conv", "linear", "mlp")
        for seed in range(2)
    ]
    board = board_of(*records)
    assert {"bp", "sid-streamed", "bp head conv", "sid-streamed head mlp"} < {one.title for one in board.rows}
    assert row(board, "bp").is_baseline


@pytest.mark.long
def test_the_page_says_where_sid_stands_and_what_other_heads_mean(tmp_path: Path) -> None:
    records = [BP, timed("sid-streamed", 500, [0.9 * each for each in SECONDS], SECONDS)]
    records.append(timed("dgl", 400, SECONDS, SECONDS, head="mlp-sr"))
    (tmp_path / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    write_report([tmp_path / "file.jsonl"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = page.partition('<section id="leaderboard"')[2].partition("</section>")[0]
    assert (
        "Of the methods on this cell, sid-streamed is 2nd of 3 by activation bytes, 50.0 % (first: dgl head mlp-sr, "
        "40.0 %); 1st of 3 by step time, 0.90." in section
    )
    assert "A row that names a head" in section
    assert re.search(r"processes that took turns", section)
    (tmp_path / "few.jsonl").write_text("".join(f"{record.line()}\n" for record in records[:2]))
    write_report([tmp_path / "few.jsonl"], tmp_path / "few.html")
    assert "A row that names a head" not in (tmp_path / "few.html").read_text(encoding="utf-8")


def made_row(name: str, method: str, size: float | None, time: float | None, share: float | None) -> BoardRow:
    return BoardRow(
        name=name,
        method=method,
        is_baseline=False,
        modules=None,
        instrument="exact",
        activation_bytes=size,
        activation_ratio=size,
        total_bytes=size,
        total_ratio=size,
        time=None if time is None else StepTime(time, time, time, 5, None),
        accuracies={} if share is None else {CLEAN: AccuracyInSetting(share, 3, None, "")},
        record="",
    )


NUMBERS = st.none() | st.integers(1, 8).map(lambda number: number / 8)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=0, max_size=8)


@settings(deadline=None)
@given(ROWS, st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_a_place_counts_the_methods_that_are_better(others: list[tuple[Any, Any, Any]], own: tuple[Any, ...]) -> None:
    rows = [made_row("sid-streamed", "sid-streamed", *own)]
    rows += [made_row(f"other {number}", "dgl", *numbers) for number, numbers in enumerate(others)]
    said = place_of_sid(Board("net", "pipeline", "cell", [CLEAN], rows)) or ""
    for place, words in enumerate(("by activation bytes", "by step time", "by accuracy (clean)")):
        there = [numbers[place] for numbers in (own, *others) if numbers[place] is not None]
        if own[place] is None or len(there) < 3:
            assert words not in said
            continue
        better = sum(number > own[place] if place == 2 else number < own[place] for number in there)
        found = re.search(rf"(\d+)[a-z]+ of (\d+) {re.escape(words)}", said)
        assert found is not None
        assert (int(found[1]), int(found[2])) == (1 + better, len(there))


def test_places_need_sid() -> None:
    rows = [made_row(f"other {number}", "dgl", 1.0, 1.0, 1.0) for number in range(4)]
    assert place_of_sid(Board("net", "pipeline", "cell", [CLEAN], rows)) is None
    eleventh = [*rows, *(made_row(f"more {number}", "dgl", 0.1, None, None) for number in range(6))]
    eleventh.append(made_row("sid-streamed", "sid-streamed", 2.0, None, None))
    assert "11th of 11 by activation bytes" in (place_of_sid(Board("net", "", "", [], eleventh)) or "")


def test_numbers_that_look_equal_share_a_place() -> None:
    rows = [made_row(f"other {size}", "dgl", size, None, None) for size in (0.31001, 0.3104, 0.4)]
    rows.append(made_row("sid-streamed", "sid-streamed", 0.31002, None, None))
    said = place_of_sid(Board("net", "pipeline", "cell", [], rows))
    assert said == "Of the methods on this cell, sid-streamed is 1st of 4 by activation bytes, 31.0 %."
