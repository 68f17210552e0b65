"""Damaged and foreign files: good records are kept, and a file that is no results file is not changed."""

import json
import tempfile
from pathlib import Path

import pytest
from harness_tools import sound_records, tiny_record, write_records
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config.cell import Cell
from bench.errors import StoreError
from bench.store.file import Store, read_records

FOREIGN = {
    "plain text": b"hello, this is not yours\nand neither is this\n",
    "one line without its end": b"hello",
    "a JSON array": b"[1, 2, 3]\n",
    "a JSON number": b"42\n",
    "a JSON object": b'{"name": "someone else\'s", "version": 3}\n',
    "a JSON object over several lines": b'{\n  "schema": 1,\n  "id": "x"\n}\n',
    "an object whose schema is text": b'{"schema":"http://json-schema.org/draft-07/schema#"}\n',
    "an object with our schema number only": b'{"schema":1}\n',
    "binary": bytes(range(256)) * 8,
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a table": b"method,depth,seconds\nbp,4,0.1\n",
}


def cuts(line: bytes, step: int) -> list[int]:
    """Where to cut ``line``: its first and last bytes, each within a character, and every ``step``-th of the rest."""
    ends = {*range(1, 20), *range(len(line) - 5, len(line))}
    return [cut for cut in range(1, len(line)) if cut in ends or line[cut] >= 0x80 or cut % step == 0]


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_last_line_cut_at_any_byte_is_moved_aside_and_records_can_be_appended(results: Path, step: int) -> None:
    good = [tiny_record(seed=0), tiny_record(seed=1)]
    head = write_records(results, good)
    last = tiny_record(message="cut inside é, 語 and 🙂", seed=2).line().encode()
    aside = results.with_name("results.jsonl.damaged")
    added = tiny_record(seed=3)
    for cut in cuts(last, step):
        results.write_bytes(head + last[:cut])
        aside.unlink(missing_ok=True)

        contents = read_records(results)
        assert contents.records == tuple(good), cut
        assert contents.damaged_tail == last[:cut]
        assert contents.intact_bytes == len(head)
        assert results.read_bytes() == head + last[:cut], "reading changes nothing"

        with Store(results) as store:
            assert store.contents.damaged_tail == last[:cut]
            assert results.read_bytes() == head, cut
            assert aside.read_bytes() == last[:cut] + b"\n"
            store.append(added)
        assert sound_records(results) == (*good, added), cut


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_first_line_cut_at_any_byte_is_moved_aside(results: Path, step: int) -> None:
    line = tiny_record().line().encode()
    for cut in cuts(line, step):
        results.write_bytes(line[:cut])
        assert read_records(results).damaged_tail == line[:cut]
        if cut < 20 or cut % 10 == 0:
            with Store(results) as store:
                store.append(tiny_record(seed=1))
            assert sound_records(results) == (tiny_record(seed=1),), cut


def test_damaged_lines_of_several_kills_are_all_kept(results: Path) -> None:
    line = tiny_record(seed=1).line().encode()
    for cut in (20, 30):
        write_records(results, [tiny_record()])
        with results.open("ab") as file:
            file.write(line[:cut])
        with Store(results):
            pass
    assert results.with_name("results.jsonl.damaged").read_bytes() == line[:20] + b"\n" + line[:30] + b"\n"


def test_zeros_at_the_end_after_a_power_cut_are_moved_aside(results: Path) -> None:
    head = write_records(results, [tiny_record()])
    results.write_bytes(head + bytes(600))
    with Store(results) as store:
        assert store.contents.damaged_tail == bytes(600)
        store.append(tiny_record(seed=1))
    assert sound_records(results) == (tiny_record(), tiny_record(seed=1))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_line_before_the_last_is_an_error_with_its_number(data: st.DataObject) -> None:
    lines = [tiny_record(seed=seed).line().encode() for seed in range(4)]
    number = data.draw(st.integers(1, 3), "line")
    cut = data.draw(st.integers(1, len(lines[number - 1]) - 1), "cut")
    lines[number - 1] = lines[number - 1][:cut]
    content = b"\n".join(lines) + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        path.write_bytes(content)
        for use in (read_records, Store):
            with pytest.raises(StoreError) as caught:
                use(path)
            assert f"{path}, line {number} is damaged" in str(caught.value)
        assert path.read_bytes() == content
        assert [entry.name for entry in Path(folder).iterdir()] == ["results.jsonl"]


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_results_file_is_an_error_and_is_not_changed(results: Path, content: bytes) -> None:
    results.write_bytes(content)
    for use in (read_records, Store):
        with pytest.raises(
            StoreError, match=r"results\.jsonl, line 1.* (damaged|not a sid-bench record|not a legal record)"
        ):
            use(results)
    assert results.read_bytes() == content
    assert [entry.name for entry in results.parent.iterdir()] == ["results.jsonl"]


def test_deeply_nested_json_is_an_error(results: Path) -> None:
    results.write_bytes(b"[" * 200_000 + b"\n")
    with pytest.raises(StoreError, match="line 1"):
        read_records(results)


def test_a_missing_file_cannot_be_read(results: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*results\.jsonl: No such file"):
        read_records(results)
    assert not results.exists()


def test_a_record_of_a_newer_version_names_both_schemas(results: Path) -> None:
    newer = json.loads(tiny_record().line()) | {"schema": 7, "novelty": [1, 2]}
    content = tiny_record().line().encode() + b"\n" + json.dumps(newer).encode() + b"\n"
    results.write_bytes(content)
    for use in (read_records, Store):
        with pytest.raises(StoreError, match=r"line 2 has schema 7; .* reads schemas 1 to 4"):
            use(results)
    assert results.read_bytes() == content


@pytest.mark.parametrize(
    ("axis", "value"),
    [("seed", 5), ("method", "sid-streamed"), ("learning_rate", 0.1)],
)
def test_a_record_whose_cell_was_edited_is_an_error(results: Path, axis: str, value: object) -> None:
    edited = json.loads(tiny_record().line())
    edited["cell"][axis] = value
    results.write_text(json.dumps(edited) + "\n", encoding="utf-8")
    with pytest.raises(StoreError, match=rf"line 1 has id {tiny_record().id}.*edited"):
        read_records(results)


def test_a_record_of_a_method_that_is_not_installed_here_can_be_read(results: Path) -> None:
    elsewhere = json.loads(tiny_record().line())
    elsewhere["cell"]["method"] = "somebody-elses"
    elsewhere["id"] = Cell.model_validate(elsewhere["cell"]).id
    results.write_text(json.dumps(elsewhere) + "\n", encoding="utf-8")
    assert read_records(results).records[0].cell.method == "somebody-elses"


@pytest.mark.parametrize(
    "place",
    [
        ("timing", "work_seconds"),
        ("cell", "learning_rate"),
        ("cell", "noise_rate"),
        ("environment", "load"),
    ],
    ids=".".join,
)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_an_error(results: Path, place: tuple[str, str], text: str) -> None:
    line = json.loads(tiny_record().line())
    line[place[0]][place[1]] = float(text)
    content = json.dumps(line) + "\n"
    assert text in content
    good = tiny_record(seed=1).line() + "\n"
    for number, whole in [(1, content + good), (2, good + content)]:  # the last line is no exception: it is not cut
        results.write_text(whole, encoding="utf-8")
        for use in (read_records, Store):
            with pytest.raises(StoreError, match=rf"results\.jsonl, line {number} is damaged: {text} is not JSON"):
                use(results)
        assert results.read_text(encoding="utf-8") == whole
