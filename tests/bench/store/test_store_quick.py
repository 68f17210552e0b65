"""The quick parser of lines: it reads what the careful one reads, and leaves to that what it refuses."""

import gc
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import in_a_row, made_data, make_record

import bench.store.file
from bench.errors import StoreError
from bench.store.collection import no_collection
from bench.store.file import read_records
from bench.store.quick import quick_record
from bench.store.record import Record

RECORDS = [
    make_record(
        {"seed": 1}, 1000, (1.0, 0.9, 1.1), trace=in_a_row(("f1", 1.0), ("b1", 1.0)), environment={"a": {"b": [1.5]}}
    ),
    make_record({"seed": 3, "method": "sid-streamed", "alpha": [0.5, 0.25, 1, 1]}, accuracy=0.5, data=made_data(8)),
]
# As they stand in JSON; what json.dumps would never write is among them.
TOKENS = [
    *("1e400", "-1e400", "1e308", "NaN", "Infinity", "-Infinity", "-0.0", "-0", "0", "1.0", "1E2", "01", "1.", ".5"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1" + "0" * 400 + ".0"),
    *(
        "true",
        "null",
        '"x"',
        '"1"',
        '"\\ud800"',
        '"\\u00e9"',
        '"é\u2028"',
        '"\t"',
        "[]",
        "{}",
        "[1, 9999999999999999999]",
    ),
    *(
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "[1e999]",
        "[" * 300 + "]" * 300,
        "0.1000000000000000055511151231257827",
        "5e-324",
    ),
]


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """The places in ``value`` whose content may be replaced: container and key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return [(value, key) for key in keys] + [place for part in inner for place in leaves(part)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quick") / "results.jsonl"


def outcome(file: Path) -> str:
    """The records of a file with every digit, or the error."""
    try:
        return repr([record.model_dump() for record in read_records(file).records])
    except StoreError as error:
        return f"error: {error}"


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_line_is_read_as_the_careful_parser_reads_it(file: Path, data: st.DataObject) -> None:
    content = json.loads(data.draw(st.sampled_from(RECORDS)).line())
    place, key = data.draw(st.sampled_from(leaves(content)))
    place[key] = "THE TOKEN"
    line = json.dumps(content, separators=(",", ":")).replace('"THE TOKEN"', data.draw(st.sampled_from(TOKENS)))
    file.write_bytes(f"{RECORDS[0].line()}\n{line}\n{RECORDS[1].line()}\n".encode())
    found = outcome(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.store.file, "quick_record", lambda _: None)
        assert found == outcome(file)


def test_sound_lines_take_the_quick_way() -> None:
    for record in RECORDS:
        assert quick_record(record.line().encode()) == record
        assert quick_record(record.line().encode() + b"\n") == record


@pytest.mark.parametrize("change", [b'{"schema": 4', b'\xef\xbb\xbf{"schema":4', b'{"schema":3'])
def test_other_lines_do_not(change: bytes) -> None:
    assert quick_record(RECORDS[0].line().encode().replace(b'{"schema":4', change, 1)) is None


def test_a_record_whose_id_is_not_that_of_its_cell_is_left_to_the_careful_parser() -> None:
    line = RECORDS[0].line().encode().replace(b'"seed":1', b'"seed":2')
    assert isinstance(Record.model_validate_json(line), Record)
    assert quick_record(line) is None


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_search_for_garbage_is_as_before_afterwards(was_enabled: bool, tmp_path: Path) -> None:
    (gc.enable if was_enabled else gc.disable)()
    try:
        with no_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == was_enabled
        with pytest.raises(StoreError), no_collection():
            read_records(tmp_path / "none")
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()
