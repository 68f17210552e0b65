"""A cell that crashes is started again, a limited number of times, unless the failure is final."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import OK, Script, ScriptedExecutor, crash, sound_records, tiny_record
from hypothesis import given
from hypothesis import strategies as st
from one_cell import measure_cell

from bench.config.cell import Cell
from bench.execute.messages import Answer
from bench.store.record import Record

CELL = tiny_record().cell


def measured(answers: list[Answer], retries: int) -> tuple[Record, int]:
    """The record of a cell whose attempts end as ``answers``, and the number of answers that were not needed."""
    left: Iterator[Answer] = iter(answers)
    record = measure_cell(CELL, ScriptedExecutor(lambda _: next(left)), retries)
    return record, len(list(left))


@given(crashes=st.integers(0, 5), retries=st.integers(0, 5))
def test_a_cell_is_started_again_until_it_does_not_crash_or_no_retry_is_left(crashes: int, retries: int) -> None:
    record, unasked = measured([crash()] * crashes + [OK] * 10, retries)
    assert record.attempts == min(crashes, retries) + 1
    assert unasked == crashes + 10 - record.attempts
    assert record.status == ("crashed" if crashes > retries else "ok")


@pytest.mark.parametrize(
    "last",
    [
        OK,
        Answer(status="oom", message="not enough memory"),
        Answer(status="timeout", message="no result within 1 s"),
        crash("ConfigError", final=True),
    ],
    ids=lambda answer: answer.status,
)
def test_an_answer_that_is_not_a_crash_or_is_final_is_not_tried_again(last: Answer) -> None:
    record, unasked = measured([last, OK], retries=3)
    assert (record.status, record.message, record.attempts) == (last.status, last.message, 1)
    assert unasked == 1


def test_the_message_says_how_earlier_attempts_ended_where_that_differs() -> None:
    same, _ = measured([crash("boom"), crash("boom")], retries=1)
    assert same.message == "boom"
    mixed, _ = measured([crash("bang"), crash("boom"), crash("boom")], retries=2)
    assert (mixed.message, mixed.attempts) == ("boom; attempt 1 crashed: bang", 3)
    fine, _ = measured([crash("bang"), crash("boom"), OK], retries=2)
    assert (fine.status, fine.message) == ("ok", "attempt 1 crashed: bang; attempt 2 crashed: boom")
    late, _ = measured([crash("bang"), Answer(status="timeout", message="bang")], retries=2)
    assert late.message == "bang; attempt 1 crashed: bang"


def test_a_run_retries_once_by_default_and_counts_retries(
    script: Script, cli: RunCli, sweep: Path, results: Path
) -> None:
    def streamed_crashes(cell: Cell) -> Answer:
        return crash() if cell.method == "sid-streamed" else OK

    executor = script(streamed_crashes)
    ended = cli("run", sweep, "--out", results)
    assert [cell.method for cell in executor.measured] == ["bp", "sid-streamed", "sid-streamed"]
    assert "2 cells measured, 1 crashed, 1 ok, 1 retry, 0 stored before" in ended.stdout

    assert (
        "2 stored before (1 of them not ok: --retry-failed measures such cells again)"
        in cli("run", sweep, "--out", results).stdout
    )

    executor.asked.clear()
    ended = cli("run", sweep, "--out", results, "--retry-failed", "--retries", 0)
    assert [cell.method for cell in executor.measured] == ["sid-streamed"]
    assert "1 cell measured, 1 crashed, 1 stored before" in ended.stdout

    executor.asked.clear()
    ended = cli("run", sweep, "--out", results, "--retry-failed", "--retries", 4)
    assert len(executor.measured) == 5
    assert "1 cell measured, 1 crashed, 4 retries, 1 stored before" in ended.stdout
    assert [record.attempts for record in sound_records(results)] == [1, 2, 1, 5]


def test_a_run_ends_if_a_check_is_final_and_goes_on_if_the_check_itself_crashed(
    script: Script, cli: RunCli, sweep: Path, results: Path
) -> None:
    arguments = ("run", sweep, "--set", "dataset=digits", "--out", results)
    executor = script(lambda _: OK, check=crash("no such data", final=True))
    refused = cli(*arguments)
    assert (refused.exit_code, refused.stderr) == (2, "error: no such data\n")
    assert not executor.measured
    executor = script(lambda _: OK, check=crash("the fork server ended with code -9"))
    assert "2 cells measured, 2 ok" in cli(*arguments).stdout
    assert len(executor.measured) == 2


@pytest.mark.parametrize("text", ["-1", "1.5", "often"])
def test_a_number_of_retries_that_is_not_legal_is_refused(cli: RunCli, sweep: Path, results: Path, text: str) -> None:
    ended = cli("run", sweep, "--out", results, f"--retries={text}")
    assert ended.exit_code == 2
    assert "Invalid value for '--retries'" in ended.stderr
    assert not results.exists()
