"""The answers on the page, in the terminal and as Markdown; the claims on the page."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from page_reader import shown_text
from record_builder import make_record
from typer.testing import CliRunner

from bench.analysis.answer.answer import Answer
from bench.cli.app import app
from bench.report.answer_text import answer_lines, answer_markdown
from bench.report.document import render
from bench.report.inputs import Inputs, read_inputs
from bench.report.sections.answer import answer
from bench.report.sections.claims import claims
from bench.report.text import unbroken
from bench.store.record import Record

REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def inputs_of(*records: Record) -> Inputs:
    return Inputs((), (), records, ())


def held(method: str, size: int, **cell: Any) -> Record:
    return make_record({"method": method, "passes": ["memory"], **cell}, size)


def shown(section: str, content: Any) -> str:
    html = render(f"sections/{section}.html.j2", content=content)
    return unescape(html).replace("\N{NO-BREAK SPACE}", " ")


def test_a_card_shows_verdict_number_sentence_and_the_link_to_its_record() -> None:
    bp, sid = held("bp", 100), held("sid-streamed", 30)
    inputs = inputs_of(bp, sid)
    memory, time, _ = inputs.answers
    card, second = shown("answer", answer(inputs)).split("<article")[1:3]
    assert '<span class="badge" data-verdict="better">better</span>' in card
    assert "<b>30.0 %</b> of BP's activation bytes" in card
    for text in (memory.question, memory.sentence, *memory.besides, f'href="#cell={sid.id}"'):
        assert text in card
    assert '<span class="badge" data-verdict="not-measured">not measured</span>' in second
    assert f"To measure it, run <code>{time.command}</code>" in second
    assert "<b>" not in second


def test_names_of_records_are_escaped_in_cards_and_in_markdown() -> None:
    record = held("deep-supervision", 30)
    cell = record.cell.model_copy(update={"method": "<i>my_rule*"})
    inputs = inputs_of(held("bp", 100), record.model_copy(update={"cell": cell, "id": cell.id}))
    html = render("sections/answer.html.j2", content=answer(inputs))
    assert "&lt;i&gt;my_rule*" in html
    assert "<i>" not in html
    markdown = answer_markdown(inputs.answers[0])
    assert r"\<i>my\_rule\*" in markdown


@pytest.mark.parametrize("width", [40, 80])
def test_an_answer_in_a_terminal_keeps_its_width_and_loses_no_word(width: int) -> None:
    one = Answer(
        "time",
        "Is SID faster?",
        "undecided",
        "0.90",
        "of BP's time",
        "sid-streamed takes 0.90 [0.85, 0.95] of BP's time per step (5 processes, 95 % interval), on a cell.",
        ("SID's other methods: 1.13 [1.06, 1.22] (sid-streamed-autograd) to 1.42 [1.37, 1.48] (sid-published).",),
        "sid-bench run --set method=bp,sid-streamed --set depth=64 --set modules=64 --set passes=latency",
    )
    lines = answer_lines(one, width).splitlines()
    assert lines[0] == "Is SID faster? undecided (0.90 of BP's time)"
    assert lines[-2:] == ["  For an interval, run:", f"    {one.command}"]
    assert max(len(line) for line in lines[1:-1]) <= width
    said = " ".join(" ".join(lines).split())
    assert one.sentence in said
    assert one.besides[0] in said
    assert all(line.count("[") == line.count("]") for line in lines)  # no interval is broken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("holds 3.1 % of 5 MiB", "holds 3.1~% of 5~MiB"),
        ("0.90 [0.85, 0.95] of", "0.90~[0.85,~0.95] of"),
        ("+0.5 points [-0.4, +1.4]", "+0.5~points [-0.4,~+1.4]"),
        ("no numbers in this % text", "no numbers in this % text"),
    ],
)
def test_numbers_are_not_broken(text: str, expected: str) -> None:
    assert unbroken(text).replace("\N{NO-BREAK SPACE}", "~") == expected


@pytest.mark.parametrize("suite", ["default", "modes", "backbones", "noise", "noise-pipeline", "parallel"])
@pytest.mark.long
def test_each_reference_page_answers_or_says_what_was_not_measured(suite: str) -> None:
    inputs = read_inputs([REFERENCE / f"{suite}.jsonl"])
    passes = {"memory": "memory", "time": "latency", "accuracy": "accuracy"}
    measured = {part for part in passes.values() if any(getattr(record, part) for record in inputs.records)}
    for one in inputs.answers:
        assert (one.verdict != "not measured") == (passes[one.name] in measured)
        assert bool(one.number) == (one.record is not None) == (one.verdict != "not measured")
        assert one.command or one.verdict != "not measured"
        assert one.record is None or one.record in {record.id for record in inputs.records}
        assert "nan" not in f"{one.number} {one.sentence} {' '.join(one.besides)}"


def test_the_command_prints_the_answers_before_the_tables_and_writes_them_to_markdown(tmp_path: Path) -> None:
    file = tmp_path / "made.jsonl"
    file.write_text("".join(f"{record.line()}\n" for record in (held("bp", 100), held("sid-streamed", 30))))
    arguments = ["report", str(file), "--out", str(tmp_path / "page.html"), "--markdown", str(tmp_path / "a.md")]
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})
    assert ended.exit_code == 0, ended.output
    order = [
        "Does SID need less memory? better (30.0 % of BP's activation bytes)",
        "Is SID faster? not measured",
        "Is SID as accurate? not measured",
        "cascade-linear: digits, depth 4",
    ]
    places = [ended.stdout.index(text) for text in order]
    assert places == sorted(places)
    commands = [line for line in ended.stdout.splitlines() if "sid-bench run" in line]
    assert all(
        re.fullmatch(rf" {{4}}sid-bench run( --set \S+)+ --out {re.escape(str(file))}", line) for line in commands
    )
    assert len(commands) == 2
    other = tmp_path / "other.jsonl"
    other.write_text(f"{held('bp', 100, depth=8, modules=8).line()}\n")
    ended = CliRunner().invoke(app, [*arguments, str(other)])
    assert "sid-bench run" in ended.stdout
    assert "--out" not in ended.stdout
    markdown = (tmp_path / "a.md").read_text()
    assert markdown.index("**Does SID need less memory? Better.** sid-streamed holds") < markdown.index("| network |")


def test_page_and_terminal_say_that_a_method_crashed_and_why(tmp_path: Path) -> None:
    failure = make_record({"method": "deep-supervision"}, status="crashed", message="KeyError: 'temperature'")
    for others in ((), (held("sid-streamed", 30),)):
        file = tmp_path / "made.jsonl"
        file.write_text("".join(f"{record.line()}\n" for record in (held("bp", 100), failure, *others)))
        page = tmp_path / "page.html"
        ended = CliRunner().invoke(app, ["report", str(file), "--out", str(page)])
        assert ended.exit_code == 0, ended.output
        said = " ".join(ended.stderr.split())
        assert "warning: deep-supervision crashed: KeyError: 'temperature'. It has no result." in said
        shown_on_page = unescape(shown_text(page))
        assert "deep-supervision crashed: KeyError: 'temperature'. It has no result." in shown_on_page
        assert ("Does SID need less memory?" in shown_on_page) == bool(others)
        assert ("deep-supervision crashed: KeyError: 'temperature'." in ended.stdout) != bool(others)


def test_claims_show_estimate_interval_margin_sample_controls_and_the_record_that_decides() -> None:
    inputs = read_inputs([REFERENCE / "default.jsonl"])
    content = claims(inputs)
    assert content is not None
    html = shown("claims", content)
    rows = {row.name: row for row in inputs.claims}
    assert len(content.tested) + len(content.unmeasured) == len(rows)
    robust = rows["robust-to-noise"]
    (row,) = (part for part in html.split("<tbody>") if robust.sentence in part)
    effect, _, interval = robust.effect.partition(" [")
    for text in (effect, f"[{interval}", robust.margin, robust.sample, robust.reason, robust.source, "0 of 7 hold"):
        assert text in row
    assert f'data-verdict="not-supported">{robust.verdict}<' in row
    assert all(f"{control.name}: {control.holds}" in row for control in robust.controls)
    assert f'href="#cell={robust.records[0]}"' in row
    assert robust.records[0] in {record.id for record in inputs.records}


def test_records_that_test_no_claim_have_no_section_of_claims() -> None:
    assert claims(inputs_of(held("bp", 100))) is None
