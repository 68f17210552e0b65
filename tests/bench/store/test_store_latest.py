"""The record that counts where a cell has several: ``run`` and ``report`` agree, whatever the clock did."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_reader import records_in_page
from record_builder import make_record

from bench.report import write_report
from bench.store.file import read_records
from bench.store.latest import latest_records
from bench.store.record import Record

EARLY, LATE = "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"
TIMES = st.sampled_from([EARLY, LATE, "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", "2025-12-31", "", "soon"])
RECORDS = st.builds(
    lambda seed, created, message: make_record({"seed": seed}, created=created, message=message),
    st.integers(0, 2),
    TIMES,
    st.text("abc", max_size=3),
)


def a_crash(created: str) -> Record:
    return make_record({}, status="crashed", message="exit code 1", created=created)


def a_success(created: str) -> Record:
    return make_record({}, memory=1000, created=created)


def write(path: Path, *records: Record) -> Path:
    path.write_text("".join(f"{record.line()}\n" for record in records))
    return path


def statuses_of_report(*files: Path) -> list[str]:
    page = files[0].with_suffix(".html")
    write_report(files, page)
    return [record["status"] for record in records_in_page(page)]


@given(st.lists(RECORDS, max_size=8))
def test_within_a_file_position_decides(records: list[Record]) -> None:
    expected = {record.id: record for record in records}
    assert latest_records(records) == expected
    assert list(latest_records(records)) == list(expected)


@given(st.lists(RECORDS, max_size=5), st.lists(RECORDS, max_size=5))
def test_among_files_one_of_the_last_records_counts(first: list[Record], second: list[Record]) -> None:
    lasts = (latest_records(first), latest_records(second))
    for id_, record in latest_records(first, second).items():
        assert record in [last[id_] for last in lasts if id_ in last]


@pytest.mark.parametrize("created", [EARLY, LATE], ids=["set back", "equal"])
def test_run_and_report_use_the_later_line(tmp_path: Path, created: str) -> None:
    results = write(tmp_path / "mine.jsonl", a_crash(LATE), a_success(created))
    assert read_records(results).latest[a_crash(LATE).id].status == "ok"
    assert statuses_of_report(results) == ["ok"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (a_crash(LATE), a_success(EARLY), "crashed"),
        (a_crash(EARLY), a_success(LATE), "ok"),
        (a_crash(EARLY), a_success(EARLY), "ok"),
        (a_success(EARLY), a_crash(EARLY), "crashed"),
        (a_crash(EARLY), a_success("2026-01-01T02:00:00+02:00"), "ok"),
        (a_crash(EARLY), a_success("2026-01-01T01:00:00+02:00"), "crashed"),
        (a_crash(EARLY), a_success("2026-01-01T00:00:01Z"), "ok"),
        (a_crash(EARLY), a_success("no time"), "crashed"),
        (a_crash("no time"), a_success("none either"), "ok"),
    ],
)
@pytest.mark.long
def test_among_files_the_time_decides_and_then_the_order(
    tmp_path: Path, first: Record, second: Record, expected: str
) -> None:
    files = [write(tmp_path / "first.jsonl", first), write(tmp_path / "second.jsonl", second)]
    assert statuses_of_report(*files) == [expected]


def test_a_clock_that_went_back_within_a_file_does_not_matter_among_files(tmp_path: Path) -> None:
    """The last record of each file is compared, not the one with the latest time in it."""
    first = write(tmp_path / "first.jsonl", a_success("2026-06-01"), a_crash("2026-02-01"))
    second = write(tmp_path / "second.jsonl", a_success("2026-03-01"))
    assert statuses_of_report(first, second) == ["ok"]
