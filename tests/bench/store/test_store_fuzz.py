"""Damaged results files: records that are not damaged are kept, and any other outcome is a StoreError."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_builder import in_a_row, made_data, made_ranks, make_record

from bench.errors import StoreError
from bench.report import write_report
from bench.store.file import Store, read_records
from bench.store.record import Record

LINES = [
    make_record(
        {"depth": 4, "seed": 1}, memory=1000, latency=(1.0, 0.9, 1.1), trace=in_a_row(("f1", 1.0), ("b1", 1.0))
    ),
    make_record({"method": "sid-streamed", "seed": 1}, memory=300, latency=(0.9, 0.8, 1.0), data=made_data(8)),
    make_record({"seed": 2, "epochs": 2}, accuracy=0.5, by_epoch=[0.25, 0.5]),
    make_record({"seed": 3}, status="crashed", message="exit code 1, é 語 🙂"),
    make_record(
        {"method": "sid-parallel", "ranks": 2, "seed": 4, "passes": ["memory", "latency"]},
        memory=1000,
        ranks=made_ranks([2, 2], busy_share=[0.5, 0.5]),
    ),
]
SOUND = [record.line().encode() for record in LINES]
ODD_VALUES: list[Any] = [None, True, -1, 0, 1.5, 2**62, 1e308, -1e308, 5e-324, "", "é\n$%<b>", "\ud800", [], {}, [[]]]
ODD_LINES = [
    b"[1, 2]",
    b"7",
    b'"text"',
    b"null",
    b'{"schema":3}',
    b'{"schema":NaN}',
    b'{"schema":3,"id":Infinity}',
    b'{"schema":' + b"9" * 5000 + b"}",
    b'{"schema":1e999}',
    b"[" * 100_000,
    b'{"schema":3,"environment":' + b'{"a":' * 500 + b"1" + b"}" * 501,
    b"\0" * 50,
    b"\xff\xfe",
    b"x" * 1_000_000,
]


def flip_bytes(chance: random.Random, lines: list[bytes]) -> None:
    line = bytearray(lines[0])
    for _ in range(chance.randint(1, 3)):
        line[chance.randrange(len(line))] = chance.choice(
            [chance.randrange(256), ord(chance.choice('0123456789-.,eE"'))]
        )
    lines[0] = bytes(line)


def cut(chance: random.Random, lines: list[bytes]) -> None:
    lines[0] = lines[0][: chance.randrange(len(lines[0]))]


def add_an_odd_line(chance: random.Random, lines: list[bytes]) -> None:
    lines.insert(0, chance.choice(ODD_LINES))


def change_a_value(chance: random.Random, lines: list[bytes]) -> None:
    content = json.loads(lines[0])
    inner = content
    key: Any = chance.choice(list(content))
    while isinstance(inner[key], dict | list) and inner[key] and chance.random() < 0.8:
        inner = inner[key]
        key = chance.choice(list(inner)) if isinstance(inner, dict) else chance.randrange(len(inner))
    inner[key] = chance.choice(ODD_VALUES)
    lines[0] = json.dumps(content).encode()


def lengthen_a_list(chance: random.Random, lines: list[bytes]) -> None:
    content = json.loads(lines[0])
    parts = [part for part in content.values() if isinstance(part, dict)]
    found = [values for part in parts for values in part.values() if isinstance(values, list) and values]
    chance.choice(found).append(chance.choice(ODD_VALUES))
    lines[0] = json.dumps(content).encode()


DAMAGES: list[Callable[[random.Random, list[bytes]], None]] = [
    flip_bytes,
    cut,
    add_an_odd_line,
    change_a_value,
    lengthen_a_list,
]


def damaged(chance: random.Random) -> tuple[list[bytes], int]:
    """Lines in any order, some of them twice, of which those from the second number on are damaged or were added."""
    lines = chance.sample(SOUND, chance.randint(1, len(SOUND)))
    lines += chance.sample(lines, chance.randint(0, 1))
    place = chance.randrange(len(lines))
    rest = lines[place:]
    chance.choice(DAMAGES)(chance, rest)
    return lines[:place] + rest, place


def check_reading(path: Path, seed: int) -> None:
    """Checks that the outcome is the records, or an error that names the damaged line, and that nothing is lost."""
    chance = random.Random(seed)
    lines, place = damaged(chance)
    end = chance.choice([b"\n", b"\r\n"])
    content = chance.choice([b"", b"\xef\xbb\xbf"]) + end.join(lines) + chance.choice([b"", end])
    path.write_bytes(content)
    aside = path.with_name(f"{path.name}.damaged")
    aside.unlink(missing_ok=True)
    records: tuple[Record, ...] | None = None
    message = ""
    try:
        with Store(path) as store:
            records = store.contents.records
            store.append(LINES[0])
    except StoreError as error:
        message = str(error)
    if records is None:
        named = re.search(r"results\.jsonl, line (\d+) ", message)
        assert named, message
        assert int(named[1]) > place, "the lines before the damage are sound"
        assert path.read_bytes() == content
        assert not aside.exists()
        return
    assert message == ""
    assert [record.line().encode() for record in records[:place]] == lines[:place]
    assert read_records(path).records == (*records, LINES[0])
    kept = path.read_bytes() + (aside.read_bytes() if aside.exists() else b"")
    assert all(line in kept for line in lines if line.strip()), "a line that is no record is moved aside"


def check_report(path: Path, seed: int) -> None:
    """Checks that what can be read gives a page."""
    lines, _ = damaged(random.Random(seed))
    path.write_bytes(b"\n".join(lines) + b"\n")
    page = path.with_suffix(".html")
    try:
        write_report([path], page)
    except StoreError:
        return
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_damaged_file_is_read_or_refused(tmp_path: Path) -> None:
    for seed in range(600):
        check_reading(tmp_path / "results.jsonl", seed)


@pytest.mark.long
def test_a_damaged_file_gives_a_page_or_is_refused(tmp_path: Path) -> None:
    for seed in range(12):
        check_report(tmp_path / "results.jsonl", seed)


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    for seed in range(1000, 6000):
        check_reading(tmp_path / "results.jsonl", seed)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_damaged_files_give_pages_or_are_refused(tmp_path: Path) -> None:
    for seed in range(1000, 2000):
        check_report(tmp_path / "results.jsonl", seed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"environment": {"a": "\ud800"}}, "cannot be encoded as UTF-8"),
        ({"environment": {"\ud800": 1}}, "cannot be encoded as UTF-8"),
        ({"created": "\ud800"}, "cannot be encoded as UTF-8"),
        ({"message": 2**64}, "too large for an integer of 64 bits"),
        ({"parameters": -(2**63) - 1}, "too large for an integer of 64 bits"),
        ({"trace": in_a_row(("f1", 0.0))}, "take no time"),
        ({"trace": in_a_row(("f1", 1.0)) | {"rank": []}}, "columns differ in length"),
        ({"trace": in_a_row(("f1", 1.0)) | {"steps": 0}}, "trace.steps"),
        ({"trace": in_a_row(("f1", 1.0)) | {"phase": "x"}}, "trace.phase"),
        ({"ranks": made_ranks([2, 2], busy_share=[0.5])}, "columns differ in length"),
    ],
)
def test_what_no_record_can_hold_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(json.loads(SOUND[0]) | change) + "\n")
    with pytest.raises(StoreError, match=rf"results\.jsonl, line 1 .*{reason}"):
        read_records(path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    for depth, is_legal in ((10, True), (30, False), (300, False), (100_000, False)):
        path = tmp_path / "results.jsonl"
        nested = '{"a":' * depth + "1" + "}" * depth
        path.write_text(SOUND[0].decode().replace('"environment":{', f'"environment":{{"b":{nested},') + "\n\n")
        if is_legal:
            assert read_records(path).records[0].environment["b"] == json.loads(nested)
        else:
            with pytest.raises(StoreError, match="line 1"):
                read_records(path)


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(SOUND) + b"\r\n")
    assert read_records(path).records == tuple(LINES)
