"""The results file: records are read back in the order in which they were appended, and one run at a time writes."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from harness_tools import sound_records, tiny_record, write_records
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import StoreError
from bench.store.file import Store, read_records
from bench.store.record import Record

# The text of a message: all of Unicode except surrogates, which UTF-8 cannot encode.
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
RECORDS = st.builds(
    tiny_record,
    message=st.none() | TEXT,
    status=st.sampled_from(["ok", "oom", "timeout", "crashed"]),
    memory_bytes=st.integers(0, 2**60),
    seed=st.integers(0, 5),
)


@given(st.lists(RECORDS, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_appended_records_are_read_back_unchanged(records: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        with Store(path) as store:
            for record in records:
                store.append(record)
        assert sound_records(path) == tuple(records)
        with Store(path) as store:
            assert store.contents.records == tuple(records)
        assert sound_records(path) == tuple(records)


def test_a_record_is_on_one_line_with_its_schema_first(results: Path) -> None:
    with Store(results) as store:
        store.append(tiny_record(message="two\nlines, a \r and a \u2028"))
    assert results.read_bytes().startswith(b'{"schema":4,')
    assert results.read_bytes().count(b"\n") == 1
    assert json.loads(results.read_bytes())["message"] == "two\nlines, a \r and a \u2028"


def test_the_store_makes_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "results.jsonl"
    with Store(path) as store:
        store.append(tiny_record())
    assert sound_records(path) == (tiny_record(),)


@given(st.lists(RECORDS, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_latest_is_the_last_record_of_each_id(records: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        write_records(path, records)
        latest = read_records(path).latest
    assert set(latest) == {record.id for record in records}
    for id_, record in latest.items():
        assert record == [candidate for candidate in records if candidate.id == id_][-1]


def test_a_whole_last_line_without_its_line_feed_is_kept(results: Path) -> None:
    content = write_records(results, [tiny_record(seed=0), tiny_record(seed=1)])
    results.write_bytes(content[:-1])
    assert len(read_records(results).records) == 2
    with Store(results) as store:
        assert store.contents.damaged_tail == b""
        store.append(tiny_record(seed=2))
    assert [record.cell.seed for record in sound_records(results)] == [0, 1, 2]
    assert not results.with_name("results.jsonl.damaged").exists()


def test_empty_lines_are_ignored(results: Path) -> None:
    lines = [tiny_record(seed=seed).line().encode() for seed in (0, 1)]
    results.write_bytes(lines[0] + b"\n\n  \n" + lines[1] + b"\n\n")
    with Store(results) as store:
        store.append(tiny_record(seed=2))
    assert [record.cell.seed for record in read_records(results).records] == [0, 1, 2]


def test_a_second_store_on_the_same_file_is_refused(results: Path) -> None:
    with Store(results) as first:
        first.append(tiny_record())
        with pytest.raises(StoreError, match=r"results\.jsonl is being written by another .*--out"):
            Store(results)
        first.append(tiny_record(seed=1))
    assert len(sound_records(results)) == 2


def test_the_lock_holds_between_processes(results: Path) -> None:
    code = "import sys, pathlib, bench.store.file; bench.store.file.Store(pathlib.Path(sys.argv[1]))"
    with Store(results):
        ended = subprocess.run([sys.executable, "-c", code, results], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "StoreError" in ended.stderr
    assert "--out" in ended.stderr


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_lock_is_released_after_close_and_after_an_error(results: Path) -> None:
    with Store(results) as store:
        store.append(tiny_record())
    with pytest.raises(ZeroDivisionError), Store(results):
        raise ZeroDivisionError
    content = results.read_bytes()
    results.write_bytes(b"damaged\n" + content)
    before = count_open_files()
    with pytest.raises(StoreError, match="line 1"):
        Store(results)
    assert count_open_files() == before
    results.write_bytes(content)
    with Store(results) as store:
        assert store.contents.records == (tiny_record(),)


def test_a_reader_needs_no_lock(results: Path) -> None:
    with Store(results) as store:
        store.append(tiny_record())
        assert read_records(results).records == (tiny_record(),)


def test_a_new_file_without_records_is_removed_and_an_older_empty_file_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "new.jsonl"):
        assert (tmp_path / "new.jsonl").exists()
    assert not (tmp_path / "new.jsonl").exists()
    (tmp_path / "old.jsonl").touch()
    with Store(tmp_path / "old.jsonl"):
        pass
    assert (tmp_path / "old.jsonl").exists()


def test_a_record_whose_append_was_interrupted_after_it_was_written_stays(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    record = tiny_record()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt), Store(results) as store:
        store.append(record)
    assert sound_records(results) == (record,)
