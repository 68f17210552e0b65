"""``compare`` on measured runs: unchanged ones raise no alarm, planted regressions are named, and there is a page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.analysis.compare import Change, Compared, Thresholds, Word
from bench.cli.app import app
from bench.report.comparison_page import comparison_page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
DEFAULT = REFERENCE / "default.jsonl"
RUNS = sorted((REFERENCE / "repeat-default").glob("*.jsonl"))

Content = dict[str, Any]


def compare(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def changed(source: Path, target: Path, change: Callable[[Content], None]) -> Path:
    """Writes the records of ``source`` to ``target``, each after ``change``."""
    records = [json.loads(line) for line in source.read_text().splitlines()]
    for record in records:
        change(record)
    target.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return target


def more_bytes(record: Content) -> None:
    if record["memory"] and record["cell"]["method"] == "sid-streamed" and record["cell"]["batch_size"] == 64:
        record["memory"]["peak_activation_bytes"] += 1


def slower(record: Content) -> None:
    if record["latency"] and record["cell"]["method"] == "sid-published":
        record["latency"]["blocks_seconds"] = [
            [1.3 * first, *of_bp, 1.3 * last] for first, *of_bp, last in record["latency"]["blocks_seconds"]
        ]


def less_accurate(record: Content) -> None:
    """The predictions of the method are wrong for the images of every other byte."""
    accuracy = record["accuracy"]
    if not accuracy or record["cell"]["method"] != "sid-streamed" or not accuracy["correct_last"]:
        return
    from bench.store.correct import Correct

    for when, share in (("correct_last", "test_last"), ("correct_at_best_validation", "test_at_best_validation")):
        flags = Correct(**accuracy[when]).decode()
        flags[::8] = False
        accuracy[when] = Correct.pack(flags).model_dump()
        accuracy[share] = float(flags.mean())


def test_a_measured_run_is_the_same_as_itself() -> None:
    result = compare(DEFAULT, f"{DEFAULT}:default", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {change["word"] for change in found["changes"]} == {"same"}
    assert found["notes"] == []
    assert {"step_time", "activation_bytes", "accuracy_last"} <= {change["quantity"] for change in found["changes"]}


def test_measured_runs_without_a_common_cell() -> None:
    result = compare(REFERENCE / "backbones.jsonl", REFERENCE / "noise.jsonl")
    assert result.exit_code == 2
    assert "have no cell in common" in result.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("plant", "quantities", "method"),
    [
        (more_bytes, {"activation_bytes"}, "sid-streamed"),
        (slower, {"step_time"}, "sid-published"),
        (less_accurate, {"accuracy_last", "accuracy_chosen"}, "sid-streamed"),
    ],
)
def test_a_planted_regression_is_found_and_its_cells_are_named(
    plant: Callable[[Content], None], quantities: set[str], method: str, tmp_path: Path
) -> None:
    worse = changed(DEFAULT, tmp_path / "worse.jsonl", plant)
    result = compare(DEFAULT, worse, "--json")
    assert result.exit_code == 1
    found = [change for change in json.loads(result.stdout)["changes"] if change["word"] != "same"]
    assert {change["word"] for change in found} == {"worse"}
    assert {change["quantity"] for change in found} == quantities
    assert all(change["cell"].startswith(f"{method}, ") for change in found)
    assert all(change["amount"]["value"] for change in found)
    assert compare(worse, DEFAULT).exit_code == 0


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """The exit code and the table of all pairs of the repeated runs of the suite ``default``."""
    table = tmp_path_factory.mktemp("pairs") / "pairs.md"
    result = compare("--pairs", REFERENCE / "repeat-default" / "*.jsonl", "--markdown", table)
    return result.exit_code, table.read_text()


def test_no_pair_of_repeated_unchanged_runs_raises_an_alarm(pairs: tuple[int, str]) -> None:
    code, table = pairs
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert code == 0
    assert len(rows) == len(RUNS) * (len(RUNS) - 1) // 2 >= 10
    assert {row[2] for row in rows} == {"0"}, "worse"
    assert {row[3] for row in rows} == {"0"}, "better"


def test_the_page_on_comparing_shows_these_pairs(pairs: tuple[int, str]) -> None:
    assert pairs[1] in (ROOT / "docs" / "comparing.md").read_text(), "docs/comparing.md holds another table"


def test_a_change_between_repeated_runs_is_still_found(tmp_path: Path) -> None:
    worse = changed(RUNS[1], tmp_path / "worse.jsonl", slower)
    result = compare("--pairs", RUNS[0], worse)
    assert result.exit_code == 1
    assert re.search(r"^1\.jsonl +worse\.jsonl +[1-9]", result.stdout, re.MULTILINE)


def test_the_page_says_first_what_became_worse(tmp_path: Path) -> None:
    worse = changed(DEFAULT, tmp_path / "worse <b>.jsonl", more_bytes)
    assert compare(DEFAULT, worse, "--html", tmp_path / "page.html").exit_code == 1
    page = (tmp_path / "page.html").read_text()
    assert "<h1>worse &lt;b&gt;.jsonl compared with default.jsonl</h1>" in page
    found = re.search(r"<p>(\d+) of (\d+) comparisons became worse.</p>", page)
    assert found is not None
    words = re.findall(r'<tr><th scope="row">[^<]*</th>.*?data-verdict="([a-z-]+)"', page)
    assert words == ["worse"] * int(found[1]) + ["same"] * (int(found[2]) - int(found[1]))
    for address in re.findall(r'(?:src|href)\s*=\s*["\']?([^"\')\s>]+)', page.split("<script>")[0]):
        assert address.startswith(("#", "data:")), address


def change(word: Word) -> Change:
    return Change("cell", "latency", word, "", "", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "The two have no cell in common."),
        (["same", "better"], "None of 2 comparisons became worse."),
        (["worse", "same"], "1 of 2 comparisons became worse."),
        (["same", "inconclusive"], "None of 2 comparisons became worse; 1 is inconclusive."),
        (["worse", *["inconclusive"] * 3], "1 of 4 comparisons became worse; 3 are inconclusive."),
        (["same", "inconclusive", *["not measured"] * 2],
         "None of 4 comparisons became worse; 1 is inconclusive and 2 are not measured."),
        (["inconclusive"] * 2, "None of 2 comparisons is decided: 2 are inconclusive."),
        (["not measured"], "None of 1 comparison is decided: 1 is not measured."),
    ],
)  # fmt: skip
def test_the_first_sentence_of_the_page_counts_what_decides_nothing(words: list[Word], sentence: str) -> None:
    compared = Compared([change(word) for word in words], ([], []))
    page = comparison_page(compared, ("old", "new"), Thresholds(), ["old.jsonl", "new.jsonl"])
    assert f"<p>{sentence}</p>" in page


def test_the_page_names_different_machines(tmp_path: Path) -> None:
    other = changed(DEFAULT, tmp_path / "other.jsonl", lambda record: record["environment"].update(cpu="another one"))
    assert compare(DEFAULT, other, "--html", tmp_path / "page.html").exit_code == 0
    warning = re.search(r'<p class="warning">([^<]*)</p>', (tmp_path / "page.html").read_text())
    assert warning is not None
    assert re.search(r"cpu: .* in the first, another one in the second", warning[1])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--pairs", RUNS[0]], "1 results file with --pairs; legal: two or more"),
        (["--pairs", RUNS[0], RUNS[1], "--json"], "--json with --pairs; legal: thresholds, --markdown and --strict"),
        (["--pairs", RUNS[0], RUNS[1], "--html", "x.html"], "--html with --pairs"),
        (["--pairs", "none/*.jsonl"], "no file matches 'none/*.jsonl'"),
        ([RUNS[0], RUNS[1], "--html", RUNS[0]], "would replace the input"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[object], complaint: str) -> None:
    before = RUNS[0].read_bytes()
    result = compare(*arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
    assert RUNS[0].read_bytes() == before
