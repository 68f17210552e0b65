"""``compare`` where a cell has several records, which differ in what they measure or how often."""

import json
from pathlib import Path
from typing import Any

import pytest
from record_builder import make_record
from typer.testing import CliRunner

from bench.analysis.compare import STATUS, Compared, compare
from bench.analysis.gate import decide
from bench.cli.app import app
from bench.config.cell import Pass
from bench.store.record import Record

CELL = {"dataset": "digits", "depth": 2, "modules": 2, "method": "sid-streamed"}
COSTS: list[Pass] = ["memory", "latency"]


def ok(*passes: Pass, **axes: Any) -> Record:
    measured: dict[str, Any] = {"memory": 1000} if "memory" in passes else {}
    measured |= {"latency": (1.2, 1.1, 1.3)} if "latency" in passes else {}
    measured |= {"accuracy": 0.9} if "accuracy" in passes else {}
    return make_record(CELL | {"passes": list(passes)} | axes, **measured)


def crashed(*passes: Pass, status: str = "crashed", **axes: Any) -> Record:
    return make_record(CELL | {"passes": list(passes)} | axes, status=status, message="segmentation fault")


def statuses(compared: Compared) -> list[tuple[str, str]]:
    return [(change.word, change.effect) for change in compared.changes if change.quantity == STATUS]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_pass_that_crashes_now_is_worse_wherever_its_record_stands(turn: int) -> None:
    before = [ok(*COSTS), ok("accuracy")][::turn]
    after = [crashed(*COSTS), ok("accuracy")][::turn]
    found = compare(before, after)
    assert statuses(found) == [("worse", "ok to crashed (memory, latency)")]
    assert found.has_regressed
    assert "segmentation fault" in found.changes[0].text
    assert found.only_in == (0, 0)
    assert statuses(compare(after, before)) == [("better", "crashed to ok (memory, latency)")]


def test_a_pass_that_only_one_side_tried_is_not_worse_but_only_there() -> None:
    for more in (crashed("accuracy"), ok("accuracy")):
        found = compare([ok(*COSTS)], [ok(*COSTS), more])
        assert statuses(found) == []
        assert not found.has_regressed
        assert found.left_out == ([], [])
        assert found.passes_left_out[0] == []
        assert [text.endswith(" (accuracy)") for text in found.passes_left_out[1]] == [True]


def test_what_failed_of_a_record_of_all_passes_is_told_without_their_names() -> None:
    assert statuses(compare([ok(*COSTS), ok("accuracy")], [crashed(*COSTS, "accuracy")])) == [
        ("worse", "ok to crashed (memory, latency)"),
        ("worse", "ok to crashed (accuracy)"),
    ]
    assert statuses(compare([ok(*COSTS)], [crashed(*COSTS)])) == [("worse", "ok to crashed")]


def test_records_that_were_measured_alike_are_compared_with_each_other() -> None:
    few, many = {"processes": 2}, {"processes": 5}
    before = [ok(*COSTS, **few), ok(*COSTS, **many)]
    assert statuses(compare(before, [ok(*COSTS, **many), crashed(*COSTS, **few)])) == [("worse", "ok to crashed")]
    assert statuses(compare(before[:1], [ok(*COSTS, **few), crashed(*COSTS, **many)])) == []
    assert statuses(compare(before[:1], [crashed(*COSTS, **many)])) == [("worse", "ok to crashed")]


def test_a_pass_that_was_skipped_is_neither_better_nor_worse() -> None:
    skipped = crashed(*COSTS, status="skipped")
    before, after = [ok(*COSTS), ok("accuracy")], [skipped, ok("accuracy")]
    found = compare(before, after)
    assert statuses(found) == [("not measured", "ok to skipped (memory, latency)")]
    assert not found.has_regressed
    assert found.changes[0].reason == "ok to skipped (memory, latency): segmentation fault"
    assert statuses(compare(after, before)) == [("not measured", "skipped to ok (memory, latency)")]
    assert statuses(compare([skipped], [crashed(*COSTS)])) == []


def test_a_seed_that_was_skipped_is_told_beside_those_that_were_compared() -> None:
    before = [ok("accuracy", seed=seed) for seed in range(3)]
    found = compare(before, [*before[:2], crashed("accuracy", status="skipped", seed=2)])
    assert statuses(found) == [("not measured", "ok to skipped")]
    assert "seed 2" in found.changes[0].cell
    assert [change.word for change in found.changes if change.quantity == "accuracy_last"] != ["not measured"]


def test_the_command_says_that_a_pass_is_only_in_one_file(tmp_path: Path) -> None:
    files = []
    for name, records in (("a", [ok(*COSTS), ok("accuracy")]), ("b", [ok("accuracy")])):
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("".join(f"{record.line()}\n" for record in records))
    shown = CliRunner().invoke(app, ["compare", *map(str, files)])
    assert f"passes of 1 cell only in {files[0]}" in shown.stdout.replace("\n", "")
    found = json.loads(CliRunner().invoke(app, ["compare", *map(str, files), "--json"]).stdout)
    assert (found["only_in_first"], found["only_in_second"]) == (1, 0)
    assert [text.rpartition(" (")[2] for text in found["passes_only_in_first"]] == ["memory, latency)"]


def test_a_gate_of_bytes_alone_misses_no_latency() -> None:
    assert decide([ok(*COSTS)], [ok("memory")]).alarms == []
