"""Messages between processes: each is one line of JSON that is read back unchanged; records take their values."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from harness_tools import TINY, ScriptedExecutor, tiny_record
from hypothesis import given
from hypothesis import strategies as st
from one_cell import measure_cell
from record_builder import in_a_row, made_data, made_ranks, make_record

from bench.config.check import make_cell
from bench.execute.messages import Answer, Limits, Request
from bench.store.record import Record
from bench.store.sample import Sample

FULL = make_record(
    {"method": "bp", "depth": 2},
    memory=1000,
    latency=(0.9, 0.8, 1.0),
    correct=[True, False],
    step_shares=(0.1, None, 0.3),
    trace=in_a_row(("f1", 0.25), ("b1", 0.5)),
    ranks=made_ranks([1, 1], bound=0.5),
    data=made_data(8, test_samples=2),
    layout="cascade",
    parameters=7,
)
KNOWN_OF_FAILURES = ("data", "layout", "parameters")
PARTS = (*KNOWN_OF_FAILURES, "memory", "accuracy", "trace", "ranks")

SECONDS = st.floats(1e-9, 1e9)
TEXT = st.text(st.characters(codec="utf-8"))
SAMPLES = st.builds(
    Sample,
    blocks_seconds=st.lists(st.tuples(SECONDS, SECONDS, SECONDS, SECONDS), max_size=3),
    loops=st.integers(1),
    warm_up_steps=st.integers(0),
)
CELLS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["bp", "sid-streamed"]),
        "alpha": st.sampled_from([0.5, [0.25, 0.75]]),
        "learning_rate": st.floats(1e-9, 10),
        "seed": st.integers(0, 2**63 - 1),
    }
).map(lambda axes: make_cell(TINY | axes))
REQUESTS = st.builds(
    Request,
    task=st.sampled_from(["check", "measure", "time", "trace"]),
    cells=st.lists(CELLS, min_size=1, max_size=3).map(tuple),
    limits=st.builds(Limits, timeout_seconds=SECONDS, memory_bytes=st.none() | st.integers(0, 2**50)),
    process=st.integers(0, 9),
    is_last=st.booleans(),
    loops=st.none() | st.integers(1, 1000),
    # A file name is bytes, and these need not be UTF-8.
    data_root=st.none() | st.binary(min_size=1).map(lambda name: Path(os.fsdecode(name.replace(b"\0", b"0")))),
    download=st.booleans(),
    cpus=st.none() | st.lists(st.integers(0, 200)).map(tuple),
)
MEMBERS = st.builds(
    Answer,
    status=st.sampled_from(["ok", "oom", "timeout", "crashed"]),
    message=st.none() | TEXT,
    final=st.booleans(),
    caused_by_another_rank=st.booleans(),
    work_seconds=st.none() | SECONDS,
    environment=st.dictionaries(TEXT, st.none() | st.integers() | TEXT, max_size=3),
    latency_sample=st.none() | SAMPLES,
    unreliable_because=st.none() | TEXT,
    **{part: st.sampled_from([None, getattr(FULL, part)]) for part in PARTS},
)
ANSWERS = st.one_of(
    MEMBERS,
    st.builds(
        Answer,
        status=st.just("ok"),
        members=st.none() | st.lists(MEMBERS, max_size=2).map(tuple),
        apart=st.lists(st.integers(0, 5), max_size=2).map(tuple),
    ),
)


@given(REQUESTS)
def test_a_request_is_one_line_and_is_read_back_unchanged(request_: Request) -> None:
    line = request_.line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    read = Request.parse(line)
    assert read == request_
    assert read.cell.id == request_.cell.id


@given(ANSWERS)
def test_an_answer_is_one_line_and_is_read_back_unchanged(answer: Answer) -> None:
    line = answer.line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert Answer.parse(line) == answer


@given(MEMBERS)
def test_a_record_has_the_values_of_its_answer(answer: Answer) -> None:
    record = measure_cell(tiny_record().cell, ScriptedExecutor(lambda _: answer))
    shared = (Record.model_fields.keys() & Answer.model_fields.keys()) - {"message", "environment"}
    assert shared == {"status", *PARTS}
    for name in shared if answer.status == "ok" else {"status", *KNOWN_OF_FAILURES}:
        assert getattr(record, name) == getattr(answer, name)
    assert record.message == (answer.message or None)
    assert record.environment.items() >= answer.environment.items()
    assert (record.timing and record.timing.work_seconds) == answer.work_seconds
    assert Record.model_validate_json(record.line()) == record


def test_a_long_answer_goes_through_a_pipe_in_parts() -> None:
    answer = Answer(status="crashed", message="x" * 3_000_000)
    reader, writer = os.pipe()

    def send() -> None:
        answer.send(writer)
        os.close(writer)

    thread = threading.Thread(target=send)
    thread.start()
    with open(reader, "rb") as pipe:  # noqa: PTH123
        received = pipe.read()
    thread.join()
    assert Answer.parse(received) == answer


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_hold_is_refused(number: float) -> None:
    answer = Answer(status="ok", environment={"load": number})
    with pytest.raises(ValueError, match="JSON"):
        answer.line()


@pytest.mark.parametrize(
    "fields",
    [{"status": "fine"}, {"status": "ok", "lost": True}, {}, {"status": "ok", "memory": {}}],
    ids=str,
)
def test_an_answer_that_is_not_legal_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Answer"):
        Answer.model_validate(fields)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_time_out_must_be_positive(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_seconds"):
        Limits(timeout_seconds=seconds)
