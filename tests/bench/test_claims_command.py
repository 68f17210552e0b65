"""``sid-bench claims`` and the claims in a report: verdicts of records, computed and never typed."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import made_data, make_record
from typer.testing import CliRunner, Result

from bench.analysis.files import read_files
from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.rows import claim_rows
from bench.cli.app import app
from bench.report import write_report
from bench.store.record import Record

ROOT = Path(__file__).parents[2]
REFERENCES = sorted((ROOT / "results" / "reference").glob("*.jsonl"))
VERDICTS = {"supported", "not supported", "refuted", "undecided", "not measured"}
OWN = """
[[claim]]
name = "fewer-bytes"
sentence = "SID holds fewer bytes than BP."
source = "this test"
family = "memory"
expect = "better"
statistics = ["activation_bytes"]
margin = 5
method = { method = "sid-streamed" }
against = { method = "bp" }
[[claim.controls]]
name = "checkpoints"
against = { method = "bp", recompute = "modules" }
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["claims", *map(str, arguments)])


def results(folder: Path, *records: Record) -> Path:
    file = folder / "made.jsonl"
    file.write_text("".join(f"{record.line()}\n" for record in records), encoding="utf-8")
    return file


def memory(size: int, method: str, **cell: Any) -> Record:
    return make_record({"method": method, "passes": ["memory"], **cell}, size)


def claims_file(folder: Path, text: str = OWN) -> Path:
    file = folder / "own.toml"
    file.write_text(text, encoding="utf-8")
    return file


def one_verdict(folder: Path, *records: Record) -> dict[str, Any]:
    ended = run(results(folder, *records), "--claims", claims_file(folder), "--json")
    assert ended.exit_code == 0, ended.output
    (row,) = json.loads(ended.stdout)
    return dict(row)


@pytest.mark.parametrize(
    ("own", "checkpoints", "verdict", "decides"),
    [
        (10, 50, "supported", True),
        (60, 50, "not supported", True),
        (110, 200, "refuted", False),
        (10, None, "not measured", True),
    ],
)
def test_the_verdict_of_an_own_claim(
    tmp_path: Path, own: int, checkpoints: int | None, verdict: str, decides: bool
) -> None:
    records = [memory(own, "sid-streamed"), memory(100, "bp")]
    records += [] if checkpoints is None else [memory(checkpoints, "bp-checkpoint")]
    row = one_verdict(tmp_path, *records)
    assert row["verdict"] == verdict
    assert [control["decides"] for control in row["controls"]] == [decides]
    assert row["margin"] == "5 %"


def test_the_table_has_the_deciding_comparison_and_the_reason(tmp_path: Path) -> None:
    file = results(tmp_path, memory(60, "sid-streamed"), memory(100, "bp"), memory(50, "bp-checkpoint"))
    ended = run(file, "--claims", claims_file(tmp_path))
    heading, line, *reasons = [line.rstrip() for line in ended.stdout.splitlines()]
    columns = ["claim", "verdict", "comparisons", "effect [interval]", "sample", "margin", "controls"]
    assert re.split(" {2,}", heading) == columns
    answers, effect = "1 of 1 hold; with controls 0 of 1 hold, 1 contrary", "+20.0 % (against checkpoints)"
    assert re.split(" {2,}", line) == ["fewer-bytes", "not supported", answers, effect, "exact", "5 %", "0 of 1 hold"]
    said = " ".join(reasons)
    assert "SID holds fewer bytes than BP." in said
    assert "(control: checkpoints) " in said
    assert "20.0 % more bytes of activations than bp, recompute modules (exactly 60 and 50)" in said


def test_the_table_as_markdown_has_the_sentence_of_each_claim(tmp_path: Path) -> None:
    file = results(tmp_path, memory(60, "sid-streamed"), memory(100, "bp"), memory(50, "bp-checkpoint"))
    target = tmp_path / "claims.md"
    ended = run(file, "--claims", claims_file(tmp_path), "--markdown", target)
    assert ended.exit_code == 0, ended.output
    heading, _, line = target.read_text(encoding="utf-8").splitlines()
    assert heading.startswith("| claim | verdict | comparisons |")
    answers = "1 of 1 hold; with controls 0 of 1 hold, 1 contrary"
    assert line.startswith(
        f"| SID holds fewer bytes than BP. | not supported | {answers} | +20.0 % (against checkpoints) | 5 % |"
    )


def test_a_table_in_place_of_a_results_file_is_refused(tmp_path: Path) -> None:
    file = results(tmp_path, memory(60, "sid-streamed"), memory(100, "bp"))
    before = file.read_bytes()
    ended = run(file, "--claims", claims_file(tmp_path), "--markdown", file)
    assert ended.exit_code != 0
    assert "--markdown" in ended.output
    assert file.read_bytes() == before


def test_an_estimate_is_shown_with_its_interval_and_its_sample(tmp_path: Path) -> None:
    images = np.arange(400)
    records = [
        make_record(
            {"method": method, "passes": ["accuracy"], "seed": seed},
            correct=(images + seed) % 400 < right,
            data=made_data(8, "a", 400),
        )
        for method, right in (("bp", 200), ("sid-streamed", 300))
        for seed in range(5)
    ]
    text = OWN.partition("[[claim.controls]]")[0].replace("activation_bytes", "accuracy_last")
    ended = run(results(tmp_path, *records), "--claims", claims_file(tmp_path, text))
    assert re.search(
        r"fewer-bytes +supported +1 of 1 hold +\+25\.0 points \[\+\d+\.\d, \+\d+\.\d\] "
        r"+5 seeds, 400 images +5 points +none",
        ended.stdout,
    )


def test_records_that_were_left_out_are_told(tmp_path: Path) -> None:
    records = [memory(9, "bp"), memory(100, "bp"), memory(200, "bp-checkpoint"), memory(10, "sid-streamed")]
    file = results(tmp_path, *records)
    with file.open("a") as lines:
        lines.write('{"schema": 4, "id"')
    ended = run(file, "--claims", claims_file(tmp_path), "--json")
    assert json.loads(ended.stdout)[0]["effect"] == "-90.0 %"
    assert "warning: Line 5 of" in ended.stderr
    assert "warning: 1 record was left out" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.jsonl"], "cannot read none.jsonl"),
        (["{results}", "--claims", "none.toml"], "cannot read none.toml: No such file or directory"),
        (["{results}", "--claims", "{results}"], "is not a TOML file"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = results(tmp_path, memory(9, "bp"))
    ended = run(*(argument.format(results=file) for argument in arguments))
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert ended.stdout == ""


def test_shipped_claims_that_are_not_measured_are_named_and_shown_with_all(tmp_path: Path) -> None:
    file = results(tmp_path, memory(200, "sid-published"), memory(100, "bp"))
    rows = claim_rows(read_files([file])[1])
    unmeasured = [row for row in rows if row.verdict == "not measured"]
    decided = [row for row in rows if row not in unmeasured]
    assert unmeasured
    assert decided
    few, every = run(file).stdout, run(file, "--all").stdout
    table, _, named = few.partition("not measured, shown with --all: ")
    assert named == f"{len(unmeasured)} claims: {', '.join(row.name for row in unmeasured)}\n"
    assert [row.name for row in rows if row.sentence in table] == [row.name for row in decided]
    assert [row.name for row in rows if row.sentence in every] == [row.name for row in rows]
    assert "shown with --all" not in every
    nothing = run(results(tmp_path, memory(100, "bp"))).stdout
    assert nothing.startswith(f"not measured, shown with --all: {len(rows)} claims: ")
    own = run(file, "--claims", claims_file(tmp_path)).stdout
    assert "SID holds fewer bytes than BP.\n  not measured: " in own


def test_claims_are_listed() -> None:
    ended = CliRunner().invoke(app, ["list", "claims"])
    assert ended.exit_code == 0
    assert [claim.name for claim in load_claims() if claim.name not in ended.stdout] == []


def test_the_reference_records_give_a_verdict_for_every_claim() -> None:
    _, records, _ = read_files(REFERENCES)
    rows = claim_rows(records)
    assert [row.name for row in rows] == [claim.name for claim in load_claims()]
    assert {row.verdict for row in rows} <= VERDICTS
    verdicts = {row.name: row.verdict for row in rows}
    assert verdicts["memory-as-published"] == "refuted"
    assert verdicts["robust-to-noise"] == "refuted"
    assert all(row.reason.endswith(".") for row in rows)
    assert verdicts["time-as-published"] == "refuted"
    # One process of each timed cell decides nothing, whatever its ratio.
    of_one_process = claim_rows(record for record in records if record.cell.processes == 1)
    of_times = {row.verdict for row in of_one_process if row.statistic in ("step_time", "throughput")}
    assert of_times <= {"undecided", "not measured"}


def test_verdicts_follow_the_records() -> None:
    """Swapping the bytes of the two methods turns a supported claim around: nothing is typed in."""
    _, records, _ = read_files(REFERENCES)
    measured = [record for record in records if record.memory is not None and record.memory.peak_activation_bytes]

    def verdict(records: list[Record]) -> str:
        (row,) = claim_rows(records, [claim for claim in load_claims() if claim.name == "memory-streamed"])
        return row.verdict

    def inverted(record: Record) -> Record:
        assert record.memory is not None
        memory = record.memory.model_copy(
            update={"peak_activation_bytes": 10**12 // record.memory.peak_activation_bytes}
        )
        return record.model_copy(update={"memory": memory})

    assert (
        verdict(
            [record for record in measured if record.suite == "default" and record.cell.network == "cascade-linear"]
        )
        == "supported"
    )
    assert verdict([inverted(record) for record in measured if record.suite == "default"]) == "refuted"
    assert verdict([]) == "not measured"


def test_no_verdict_is_typed_into_the_claims() -> None:
    text = (ROOT / "bench" / "analysis" / "statistics" / "claims.toml").read_text(encoding="utf-8")
    assert not re.search(r"supported|refuted|undecided|not measured", text)


def test_the_report_shows_the_same_rows(tmp_path: Path) -> None:
    records = [memory(200, "sid-published"), memory(100, "bp"), memory(10, "sid-streamed")]
    file = results(tmp_path, *records)
    write_report([file], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = page.partition('<section id="claims"')[2].partition("</section>")[0]
    assert page.index('<section id="answer"') < page.index('<section id="claims"')
    decided, _, folded = section.partition('<details class="unmeasured">')
    rows = claim_rows(records)
    assert {row.verdict for row in rows} == {"refuted", "supported", "not measured"}
    for row in rows:
        place, other = (folded, decided) if row.verdict == "not measured" else (decided, folded)
        for text in (row.sentence, row.reason):
            escaped = text.replace("'", "&#39;").replace(">", "&gt;")
            assert escaped in place
        assert row.sentence not in other
        assert f'data-verdict="{row.verdict.replace(" ", "-")}">{row.verdict}<' in place
        if place is decided:
            assert row.effect.replace(" ", "\N{NO-BREAK SPACE}") in place
            assert [record.id for record in records if f"#cell={record.id}" in place and record.id in row.records]


def test_a_claim_names_the_records_that_decide_it() -> None:
    bp, small, large = memory(100, "bp"), memory(10, "sid-streamed"), memory(80, "sid-streamed", depth=8)
    (row,) = claim_rows(
        [bp, memory(100, "bp", depth=8), small, large],
        [claim for claim in load_claims() if claim.name == "memory-streamed"],
    )
    assert (row.verdict, row.records) == ("supported", (large.id,))


def test_a_page_that_tests_no_claim_has_no_section_of_claims(tmp_path: Path) -> None:
    write_report([results(tmp_path, memory(100, "bp"))], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<section id="answer"' in page
    assert '<section id="claims"' not in page
