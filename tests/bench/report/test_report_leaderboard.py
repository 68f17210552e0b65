"""The leaderboards: one cell each, every method on it, and bars on one scale."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import made_data, made_inference, make_record

from bench.analysis.frame import records_frame
from bench.analysis.leaderboard import Board, BoardRow, Setting, boards
from bench.report import write_report
from bench.report.bars import points_scale, ratio_scale
from bench.report.inputs import read_inputs
from bench.report.sections.leaderboard import MOST_BOARDS, leaderboard
from bench.store.record import Record

CLEAN = Setting(0.0, "last")
NOISY = Setting(0.4, "last")
COSTS = {"passes": ["memory", "latency"]}
TRAINED = {"passes": ["accuracy"], "epochs": 5}
IMAGES = 200


def costs(method: str, size: int, ratio: float = 1.0, **cell: Any) -> Record:
    return make_record({"method": method, **COSTS, **cell}, size, (ratio, ratio - 0.05, ratio + 0.05))


def trained(method: str, share: float, seed: int, **cell: Any) -> Record:
    correct = np.random.default_rng(seed).permutation(IMAGES) < round(share * IMAGES)
    data = made_data(8, test_samples=IMAGES)
    return make_record({"method": method, "seed": seed, **TRAINED, **cell}, correct=correct, data=data)


def boards_of(records: list[Record]) -> list[Board]:
    return boards(records_frame(records))


def rows_of(board: Board) -> dict[str, BoardRow]:
    return {row.name: row for row in board.rows}


def write_page(records: list[Record], folder: Path) -> str:
    (folder / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    write_report([folder / "file.jsonl"], folder / "page.html")
    return (folder / "page.html").read_text()


def section_of(html: str) -> str:
    found = re.search(r'<section id="leaderboard".*?</section>', html, re.DOTALL)
    assert found is not None
    return found[0]


def test_rows_are_in_the_order_of_their_activation_bytes() -> None:
    records = [costs("sid-published", 1100), costs("bp", 1000), costs("sid-streamed", 100, 0.9)]
    (board,) = boards_of(records)
    assert [row.name for row in board.rows] == ["sid-streamed", "bp", "sid-published"]
    streamed = rows_of(board)["sid-streamed"]
    assert (streamed.activation_bytes, streamed.activation_ratio) == (100, 0.1)
    assert (streamed.total_bytes, streamed.total_ratio) == (200, 0.1)
    assert streamed.time is not None
    assert (streamed.time.ratio, streamed.time.low, streamed.time.high) == pytest.approx((0.9, 0.85, 0.95))
    assert [row.is_baseline for row in board.rows] == [False, True, False]


def test_costs_and_accuracies_of_different_cells_are_on_different_boards() -> None:
    records = [costs(method, size, depth=64, modules=64) for method, size in (("bp", 1000), ("sid-streamed", 10))]
    records += [trained(method, 0.9, seed) for method in ("bp", "sid-streamed") for seed in (0, 1, 2)]
    deep, shallow = boards_of(records)
    assert "depth 64" in deep.cell
    assert "depth 4" in shallow.cell
    assert deep.settings == []
    assert all(not row.accuracies for row in deep.rows)
    assert all(row.activation_bytes is None and row.time is None for row in shallow.rows)


def test_costs_and_accuracies_of_one_cell_share_a_board() -> None:
    records = [costs(method, size) for method, size in (("bp", 1000), ("sid-streamed", 10))]
    records += [trained(method, 0.9, seed) for method in ("bp", "deep-supervision") for seed in (0, 1, 2)]
    (board,) = boards_of(records)
    assert [row.name for row in board.rows] == ["sid-streamed", "bp", "deep-supervision"]
    assert rows_of(board)["bp"].activation_ratio == 1
    assert rows_of(board)["bp"].accuracies[CLEAN].share == pytest.approx(0.9)
    assert rows_of(board)["deep-supervision"].activation_ratio is None


def test_accuracies_are_compared_with_bp_and_judged() -> None:
    records = [
        trained(method, share - rate / 2, seed, noise_rate=rate)
        for method, share in (("bp", 0.7), ("sid-streamed", 0.95), ("deep-supervision", 0.7))
        for rate in (0.0, 0.4)
        for seed in range(6)
    ]
    (board,) = boards_of(records)
    assert {setting.rate for setting in board.settings} == {0.0, 0.4}
    rows = rows_of(board)
    assert rows["bp"].accuracies[CLEAN].difference is None
    better, same = rows["sid-streamed"].accuracies[NOISY], rows["deep-supervision"].accuracies[CLEAN]
    assert better.difference is not None
    assert better.difference.estimate is not None
    assert better.difference.verdict == "better"
    assert better.difference.estimate.value == pytest.approx(0.25)
    assert (better.share, better.seeds) == (pytest.approx(0.75), 6)
    assert same.difference is not None
    assert same.difference.verdict == "undecided"


def test_accuracies_of_old_records_have_an_interval_over_seeds_and_no_verdict() -> None:
    records = [
        make_record({"method": method, "seed": seed, **TRAINED}, accuracy=share + seed / 100)
        for method, share in (("bp", 0.8), ("sid-streamed", 0.85))
        for seed in range(3)
    ]
    records = [record.model_copy(update={"data": None}) for record in records]
    (board,) = boards_of(records)
    difference = rows_of(board)["sid-streamed"].accuracies[CLEAN].difference
    assert difference is not None
    assert difference.verdict is None


def test_plain_bp_has_a_row_on_the_board_of_the_whole_network() -> None:
    sizes = {"depth": 8}
    records = [costs("bp", 1000, **sizes, modules=8), costs("sid-streamed", 100, **sizes, modules=8)]
    records.append(costs("bp", 900, **sizes, modules=1))
    (board,) = boards_of(records)
    (plain,) = (row for row in board.rows if row.modules == 1)
    assert (plain.activation_ratio, plain.total_ratio) == (0.9, 0.9)
    assert plain.time is None, "it was timed beside itself, not beside BP with all modules"
    assert not plain.is_baseline
    assert [row.activation_ratio for row in board.rows] == [0.1, 0.9, 1.0]


def test_plain_bp_of_other_training_is_no_row_of_the_board() -> None:
    records = [
        trained("bp", 0.8, seed, modules=modules, epochs=epochs)
        for modules, epochs in ((4, 5), (1, 50))
        for seed in (0, 1)
    ]
    found = boards_of(records)
    assert [sorted({row.modules for row in board.rows}, key=str) for board in found] == [[None], [None]]


SETTINGS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["bp", "sid-streamed", "sid-published"]),
        "network": st.sampled_from(["cascade-linear", "cascade-conv"]),
        "modules": st.sampled_from([1, 2, 4]),
        "batch_size": st.sampled_from([16, 32]),
        "seed": st.integers(0, 1),
    }
)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(SETTINGS, st.integers(1, 10**9)), min_size=1, max_size=12, unique_by=lambda pair: str(pair[0]))
)
def test_every_ratio_is_that_of_bytes_on_one_board(planted: list[tuple[dict[str, Any], int]]) -> None:
    records = [make_record({"depth": 4, "passes": ["memory"], **cell}, size) for cell, size in planted]
    for board in boards_of(records):
        baselines = [row for row in board.rows if row.is_baseline]
        for row in board.rows:
            if row.activation_ratio is not None and row.activation_bytes is not None:
                (bp,) = baselines
                assert bp.activation_bytes is not None
                assert row.activation_ratio == pytest.approx(row.activation_bytes / bp.activation_bytes)


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1), st.floats(1e-6, 1e6), st.floats(1.0, 10.0))
def test_bars_stay_on_their_scale_with_bp_in_the_middle(values: list[float], value: float, width: float) -> None:
    scale = ratio_scale(values, (2, 4, 8, 1024))
    bar = scale.bar(value, (value / width, value * width))
    assert 0 <= bar.low <= bar.at <= bar.high <= 100
    assert scale.bar(1.0).at == 50
    assert scale.bar(value).at == pytest.approx(100 - scale.bar(1 / value).at, abs=0.02)
    assert (bar.at > 50) == (scale.bar(value).at > 50)


def test_a_scale_reaches_its_largest_value_by_a_round_step() -> None:
    assert ratio_scale([0.3, 1.2], (2, 4, 8)).high == "\N{MULTIPLICATION SIGN}4"
    assert ratio_scale([], (2, 4)).low == "\N{DIVISION SIGN}2"
    assert points_scale([-3.0, 1.0], (1, 5, 10)).high == "+5"
    assert points_scale([-300.0], (1, 5, 10)).low == "\N{MINUS SIGN}10"
    assert points_scale([-300.0], (1, 5, 10)).bar(-300.0).at == 0


def test_the_page_shows_numbers_bars_verdicts_and_what_is_absent(tmp_path: Path) -> None:
    records = [costs("bp", 2**21), costs("sid-streamed", 2**20, 0.9)]
    records += [
        trained(method, share, seed) for method, share in (("bp", 0.7), ("deep-supervision", 0.95)) for seed in range(5)
    ]
    html = section_of(write_page(records, tmp_path))
    rows = dict(re.findall(r'<tr data-series="([^"]+)".*?>(.*?)</tr>', html, re.DOTALL))
    assert list(rows) == ["sid-streamed", "bp", "deep-supervision"]
    streamed = re.findall(r"<t[hd].*?</t[hd]>", rows["sid-streamed"], re.DOTALL)
    assert f'<a href="#cell={records[1].id}">sid-streamed</a>' in streamed[0]
    assert 'data-value="0.5" title="1,048,576 bytes"' in streamed[1]
    assert "<strong>0.500</strong> <small>1.00 MiB</small>" in streamed[1]
    assert "<strong>0.90</strong> <small>[0.85, 0.95], 1 process</small>" in streamed[3]
    assert 'class="whisker"' in streamed[3]
    assert streamed[-1] == '<td class="number absent">\N{EN DASH}</td>'
    assert '<span class="badge" data-verdict="better">better</span>' in rows["deep-supervision"]
    assert "+25." in rows["deep-supervision"]
    assert html.count('class="baseline"') == 1
    of_bp = next(record for record in records if record.cell.method == "bp" and record.accuracy is not None)
    assert rows["bp"].count("<a ") == 3  # its costs, and its accuracies at two epochs
    assert f'<strong><a href="#cell={of_bp.id}">70.0</a></strong>' in rows["bp"]


def test_a_noisy_time_is_marked_with_its_reason(tmp_path: Path) -> None:
    cell = {"method": "bp", "passes": ["latency"]}
    html = section_of(write_page([make_record(cell, latency=(1, 0.9, 1.1), noisy_because="a 'reason'")], tmp_path))
    assert '<span class="doubt" title="a &#39;reason&#39;">noisy</span>' in html


def test_names_of_methods_and_networks_are_escaped(tmp_path: Path) -> None:
    records = []
    for record in (costs("bp", 1000), costs("sid-streamed", 100)):
        update = {"network": "<i>net</i>", "method": record.cell.method.replace("sid", "<b>&'")}
        cell = record.cell.model_copy(update=update)
        records.append(record.model_copy(update={"cell": cell, "id": cell.id}))
    html = section_of(write_page(records, tmp_path))
    assert 'data-series="&lt;b&gt;&amp;&#39;-streamed"' in html
    assert "&lt;i&gt;net&lt;/i&gt;" in html
    assert "<i>net" not in html


@pytest.mark.long
def test_of_many_networks_the_first_boards_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    records = []
    for number in range(MOST_BOARDS + 3):
        record = costs("bp", 1000)
        cell = record.cell.model_copy(update={"network": f"net-{number:02}"})
        records.append(record.model_copy(update={"cell": cell, "id": cell.id}))
    html = section_of(write_page(records, tmp_path))
    assert html.count('class="table board"') == MOST_BOARDS
    assert "3 more boards are left out" in html
    assert "<li>net-14: 1</li>" in html


def test_a_page_of_failures_says_so(tmp_path: Path) -> None:
    html = write_page([make_record({"passes": ["memory"]}, status="oom", message="no memory")], tmp_path)
    assert 'No cell has a result. The table of <a href="#failures">' in section_of(html)
    assert 'id="failures"' in html


def test_records_without_bp_say_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    html = section_of(write_page([make_record({"method": "sid-streamed", "passes": ["memory"]}, 1000)], tmp_path))
    assert "no measurement of BP to compare with" in html


def test_predictions_have_a_table_and_a_long_one_is_cut(tmp_path: Path) -> None:
    cells = [{"method": "bp", "passes": ["inference"], "seed": seed} for seed in range(203)]
    records = [make_record(cell, inference=made_inference(6000, 4000, 2.0)) for cell in cells]
    (tmp_path / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    content = leaderboard(read_inputs([tmp_path / "file.jsonl"]))
    assert (len(content.predictions.table), content.predictions.left_out) == (200, 3)
    html = section_of(write_page(records[:1], tmp_path))
    assert '<h3 id="inference">Predictions</h3>' in html
