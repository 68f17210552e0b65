"""``compare``: what became better or worse between two results files, and how the command ends."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import made_data, make_record
from typer.testing import CliRunner

from bench.cli.app import app
from bench.config.check import make_cell
from bench.config.methods import FIXED_WORK
from bench.store.record import Record

TIMED = {"dataset": "random", "depth": 2, "modules": 2, "passes": ["memory", "latency"], "processes": 5}
TRAINED = {"dataset": "digits", "depth": 2, "modules": 2, "passes": ["accuracy"]}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes records to a file with the given name."""

    def to_file(name: str, *records: Record) -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{record.line()}\n" for record in records), encoding="utf-8")
        return path

    return to_file


def compare(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def timed(ratio: float, seed: int = 0, memory: int = 1000, method: str = "sid-streamed", **axes: Any) -> Record:
    """A record of five processes whose ratios to BP vary by 1 %."""
    generator = np.random.default_rng(seed)
    blocks = []
    for shift in ratio * np.exp(0.01 * generator.standard_normal(5)):
        own = 0.01 * shift * np.exp(0.005 * generator.standard_normal((4, 2)))
        blocks.append([(first, 0.01, 0.01, second) for first, second in own])
    return make_record(TIMED | {"method": method} | axes, memory, (ratio, 0.99 * ratio, 1.01 * ratio), blocks=blocks)


def trained(share: float, seed: int, images: int = 400) -> Record:
    """A record whose predictions are right for about ``share`` of the images, the easy ones first."""
    easy = np.random.default_rng(0).random(images)
    noise = 0.02 * np.random.default_rng(100 + seed).standard_normal(images)
    cell = TRAINED | {"method": "sid-streamed", "seed": seed}
    return make_record(cell, correct=easy + noise < share, data=made_data(8, "a", images))


def words(result: Any) -> dict[str, str]:
    return {change["quantity"]: change["word"] for change in json.loads(result.stdout)["changes"]}


def test_a_run_is_the_same_as_itself(write: Write) -> None:
    records = [timed(1.2), make_record(TIMED | {"method": "bp"}, 1000), *(trained(0.9, seed) for seed in range(2))]
    file = write("a.jsonl", *records)
    result = compare(file, file, "--json")
    assert result.exit_code == 0
    assert set(words(result).values()) == {"same"}
    assert set(words(result)) == {"activation_bytes", "total_bytes", "step_time", "accuracy_last", "accuracy_chosen"}


def test_a_run_of_fewer_seeds_is_the_same_where_its_seeds_hold_the_same(write: Write) -> None:
    first = write("first.jsonl", *(trained(0.9 - 0.01 * seed, seed) for seed in range(3)))
    assert set(words(compare(first, write("second.jsonl", trained(0.89, 1)), "--json")).values()) == {"same"}
    assert set(words(compare(first, write("third.jsonl", trained(0.85, 1)), "--json")).values()) == {"inconclusive"}


@pytest.mark.parametrize("damaged", ["x", ["rule.py"], None, 7])
def test_versions_of_files_that_are_no_table_are_none(write: Write, damaged: object) -> None:
    record = timed(1.2)
    other = record.model_copy(update={"environment": record.environment | {"own_files": damaged}})
    result = compare(write("a.jsonl", other), write("b.jsonl", record))
    assert result.exit_code == 0, result.output
    assert "another file" not in result.output


def test_unchanged_code_measured_again_raises_no_alarm(write: Write) -> None:
    for seed in range(10):
        result = compare(write("a.jsonl", timed(1.2, seed)), write("b.jsonl", timed(1.2, 50 + seed)))
        assert result.exit_code == 0, result.stdout


def test_one_byte_more_is_a_regression(write: Write) -> None:
    result = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.2, memory=1001)))
    assert result.exit_code == 1
    assert "1,000 to 1,001 (+0.10 %)" in result.stdout
    assert compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.2, memory=1001)), "--bytes", 1).exit_code == 0
    fewer = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.2, memory=999)), "--json")
    assert fewer.exit_code == 0
    assert words(fewer)["activation_bytes"] == "better"


def test_a_slower_step_is_a_regression_and_a_faster_one_is_not(write: Write) -> None:
    slower = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.32, 1)), "--json")
    assert (slower.exit_code, words(slower)["step_time"]) == (1, "worse")
    faster = compare(write("a.jsonl", timed(1.32)), write("b.jsonl", timed(1.2, 1)), "--json")
    assert (faster.exit_code, words(faster)["step_time"]) == (0, "better")


def test_a_change_within_the_threshold_is_no_regression(write: Write) -> None:
    files = write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.32, 1))
    assert words(compare(*files, "--time", 30, "--json"))["step_time"] == "same"
    thresholds = write("thresholds.toml")
    thresholds.write_text("time = 30\nbytes = 1.5\n", encoding="utf-8")
    assert words(compare(*files, "--thresholds", thresholds, "--json"))["step_time"] == "same"
    assert words(compare(*files, "--thresholds", thresholds, "--time", 3, "--json"))["step_time"] == "worse"


def test_lower_accuracy_is_a_regression(write: Write) -> None:
    before, after = ([trained(share, seed) for seed in range(10)] for share in (0.9, 0.85))
    result = compare(write("a.jsonl", *before), write("b.jsonl", *after), "--json")
    assert (result.exit_code, words(result)["accuracy_last"]) == (1, "worse")
    assert {change["sample"] for change in json.loads(result.stdout)["changes"]} == {"10 seeds, 400 images"}
    assert compare(write("a.jsonl", *after), write("b.jsonl", *before)).exit_code == 0


def test_a_cell_that_fails_now_is_a_regression(write: Write) -> None:
    failed = make_record(TIMED | {"method": "sid-streamed"}, status="oom", message="no memory")
    result = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", failed))
    assert result.exit_code == 1
    assert "ok to oom" in result.stdout
    assert compare(write("a.jsonl", failed), write("b.jsonl", timed(1.2))).exit_code == 0


def test_what_cannot_be_told_is_neither(write: Write) -> None:
    noisy = timed(2.0).model_copy(deep=True)
    assert noisy.latency is not None
    noisy = noisy.model_copy(update={"latency": noisy.latency.model_copy(update={"noisy_because": "it drifted"})})
    result = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", noisy), "--json")
    assert (result.exit_code, words(result)["step_time"]) == (0, "not measured")
    one_process = make_record(TIMED | {"method": "sid-streamed", "processes": 1}, 1000, (2.0, 1.9, 2.1))
    result = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", one_process), "--json")
    assert (result.exit_code, words(result)["step_time"]) == (0, "inconclusive")


def test_bp_is_not_compared_with_itself(write: Write) -> None:
    files = write("a.jsonl", timed(1.0, method="bp")), write("b.jsonl", timed(1.0, 1, method="bp"))
    assert "step_time" not in words(compare(*files, "--json"))


def test_runs_without_a_common_cell(write: Write) -> None:
    result = compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.2, depth=4, modules=4)))
    assert result.exit_code == 2
    assert "have no cell in common" in result.stderr
    assert "1 cell only in" in result.stdout


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([{"method": "bp"}], [{"method": "bp"}],
         "have 1 cell in common, which has no quantity to compare, because BP's step time is the reference"),
        ([{"method": "bp"}, {"method": "bp", "depth": 4}], [{"method": "bp"}, {"method": "bp", "depth": 4}],
         "have 2 cells in common, none of which has a quantity to compare, because BP's step time is the reference"),
        ([{"method": FIXED_WORK, "passes": ["memory"]}], [{"method": FIXED_WORK, "passes": ["memory"]}],
         "have 1 cell in common, which has no quantity to compare, because fixed work is there to be timed only"),
        ([{"method": "bp"}], [{"method": "bp", "passes": ["memory"]}],
         "have 1 cell in common, which has no pass that both measured"),
        ([{"method": "bp"}], [{"method": "bp", "depth": 4}], "have no cell in common"),
    ],
)  # fmt: skip
def test_runs_with_nothing_to_compare_say_what_they_have_in_common(
    write: Write, tmp_path: Path, before: list[Any], after: list[Any], said: str
) -> None:
    made = [[make_record(TIMED | {"passes": ["latency"]} | one, 1000) for one in side] for side in (before, after)]
    files = write("a.jsonl", *made[0]), write("b.jsonl", *made[1])
    page = tmp_path / "page.html"
    result = compare(*files, "--html", page)
    assert result.exit_code == 2
    assert f"{files[0]} and {files[1]} {said}\n" in result.stderr
    assert f"The two {said}." in html.unescape(page.read_text(encoding="utf-8"))
    of_pairs = compare("--pairs", *files)
    assert of_pairs.exit_code == 2
    is_none = said == "have no cell in common"
    assert ("no two of them have a cell in common" if is_none else f"a.jsonl and b.jsonl {said}\n") in of_pairs.stderr


def test_values_of_an_axis_within_one_file(write: Write) -> None:
    file = write("a.jsonl", timed(1.2, threads=1), timed(1.5, 1, threads=2))
    result = compare(file, "--by", "threads=1,2", "--json")
    assert (result.exit_code, words(result)["step_time"]) == (1, "worse")
    assert json.loads(result.stdout)["second"] == "threads 2"


def test_a_value_that_is_unset_or_has_parts_can_be_named(write: Write) -> None:
    unset, set_ = timed(1.2, method="bp"), timed(1.5, 1, method="bp", micro_batches=2)
    shared = timed(1.2, 2, method="bp-budget", activation_memory_budget=0.5)
    file = write("a.jsonl", unset, set_, shared, timed(1.2, alpha=[0.3, 0.7]), timed(1.2, 1, alpha=0.5))
    by_share = json.loads(compare(file, "--by", "activation_memory_budget=None,0.5", "--json").stdout)
    assert (by_share["first"], by_share["second"]) == ("activation memory budget None", "activation budget 0.5")
    by_parts = compare(file, "--by", "micro_batches=None,2", "--json")
    assert (by_parts.exit_code, words(by_parts)["step_time"]) == (1, "worse")
    assert words(compare(file, "--by", "alpha=0.3:0.7,0.5", "--json"))["activation_bytes"] == "same"
    for axis, legal in (("micro_batches", "2, None"), ("alpha", "0.3:0.7, 0.5, None"), ("compile", "false")):
        refused = compare(file, "--by", f"{axis}={legal.split(', ')[0]},0.9")
        assert f"no record has the value 0.9; legal: {legal}\n" in refused.stderr
        for value in legal.split(", "):  # what is legal can be given, and the other value is refused
            assert "no record has the value 0.9;" in compare(file, "--by", f"{axis}={value},0.9").stderr


def test_methods_within_one_file_may_differ_in_axes_of_their_own(write: Write) -> None:
    of_bp = [
        record.model_copy(update={"cell": cell, "id": cell.id})
        for record in (trained(0.8, seed) for seed in range(10))
        for cell in [make_cell(TRAINED | {"method": "bp", "seed": record.cell.seed})]
    ]
    file = write("a.jsonl", *of_bp, *(trained(0.7, seed) for seed in range(10)))
    result = compare(file, "--by", "method=bp,sid-streamed", "--json")
    assert words(result) == {"accuracy_last": "worse", "accuracy_chosen": "worse"}
    assert (json.loads(result.stdout)["only_in_first"], json.loads(result.stdout)["only_in_second"]) == (0, 0)
    other = {"method": "sid-streamed", "seed": 0, "alpha": 1.0}
    several = make_record(TRAINED | other, correct=np.ones(400, bool), data=made_data(8, "a", 400))
    file = write("b.jsonl", *of_bp, *(trained(0.7, seed) for seed in range(10)), several)
    assert compare(file, "--by", "method=bp,sid-streamed").exit_code == 2  # of two alphas, which is meant?


def test_one_suite_of_a_file(write: Write) -> None:
    old, new = timed(1.2), timed(1.5, 1, depth=4, modules=4)
    file = write("a.jsonl", old.model_copy(update={"suite": "old"}), new.model_copy(update={"suite": "new"}))
    assert compare(f"{file}:old", f"{file}:old").exit_code == 0
    assert compare(f"{file}:old", f"{file}:new").exit_code == 2
    refused = compare(f"{file}:old", f"{file}:other")
    assert refused.exit_code == 2
    assert "legal: new, old" in refused.stderr


def test_the_markdown_lists_what_changed_before_the_rest(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "comment.md"
    compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.2, memory=1001)), "--markdown", out)
    text = out.read_text(encoding="utf-8")
    assert text.index("| activation bytes | worse | 1,000 to 1,001 (+0.10 %) |") < text.index("<details>")
    assert "step time" in text[text.index("<details>") :]
    assert (
        "Bytes are compared exactly. Changes up to 3 % in time and 0.5 points in accuracy do not matter. Commits: "
        in text
    )
    assert "points" not in text[: text.index("<details>")]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a.jsonl"], "1 results file; legal: two, or one with --by"),
        (["a.jsonl", "a.jsonl", "--by", "threads=1,2"], "2 results files with --by; legal: one"),
        (["a.jsonl", "--by", "threads=1"], "legal: an axis with two values"),
        (["a.jsonl", "--by", "threads=1,8"], "no record has the value"),
        (["a.jsonl", "--by", "speed=1,8"], "--by speed=1,8: unknown axis 'speed'"),
        (["a.jsonl", "--by", "threads=1,1"], "--by 'threads=1,1'; legal: an axis with two values that differ"),
        (["a.jsonl:", "a.jsonl"], "a.jsonl:: no record of suite ''; legal: made"),
        (["a.jsonl", "a.jsonl", "--time", "inf"], "--time inf; legal: a finite number of 0 or more"),
        (["gone.jsonl", "a.jsonl", "--figure", "c.png"], "--figure c.png; legal: a file that ends in .svg"),
        (["a.jsonl", "gone.jsonl"], "cannot read"),
        (["a.jsonl", "a.jsonl", "--thresholds", "gone.toml"], "cannot read --thresholds"),
        (["a.jsonl", "a.jsonl", "--thresholds", "bad.toml"], "unknown key 'speed'"),
        (["a.jsonl", "a.jsonl", "--thresholds", "worse.toml"], "time = -1; legal: a number of 0 or more"),
        (["a.jsonl", "a.jsonl", "--thresholds", "huge.toml"], "legal: a number of 0 or more"),
        (["a.jsonl", "a.jsonl", "--markdown", "a.jsonl"], "would replace the input"),
    ],
)
def test_bad_input_is_refused_and_loses_nothing(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    content = write("a.jsonl", timed(1.2, threads=1)).read_bytes()
    write("bad.toml").write_text("speed = 1\n", encoding="utf-8")
    write("huge.toml").write_text(f"time = 1{'0' * 400}\n", encoding="utf-8")
    write("worse.toml").write_text("time = -1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = compare(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == content


def test_the_figure_shows_each_time_and_needs_one(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "times.svg"
    compare(write("a.jsonl", timed(1.2)), write("b.jsonl", timed(1.32, 1)), "--figure", out)
    text = out.read_text(encoding="utf-8")
    assert "<title>1 time of 1 became worse from a.jsonl to b.jsonl.</title>" in text
    assert ">sid-streamed, cascade-linear<" in text


@pytest.fixture
def more_bytes(write: Write) -> list[Path]:
    """Two runs of one cell without a time, the second of which needs more bytes."""
    cell = TIMED | {"method": "sid-streamed", "passes": ["memory"]}
    return [write(f"{name}.jsonl", make_record(cell, size)) for name, size in (("a", 1000), ("b", 1001))]


def test_a_figure_without_a_time_is_not_written_and_hides_nothing(more_bytes: list[Path], tmp_path: Path) -> None:
    result = compare(*more_bytes, "--figure", tmp_path / "none.svg")
    assert result.exit_code == 1
    assert "1,000 to 1,001" in result.stdout
    assert "none.svg was not written: no time was compared" in result.stderr.replace("\n", "")
    assert not (tmp_path / "none.svg").exists()


@pytest.mark.parametrize("option", ["--markdown", "--html"])
def test_a_file_that_cannot_be_written_hides_nothing(more_bytes: list[Path], option: str) -> None:
    result = compare(*more_bytes, option, more_bytes[0] / "below-a-file")
    assert result.exit_code == 2
    assert "1,000 to 1,001" in result.stdout
    assert "cannot write" in result.stderr


def test_what_is_not_measured_says_why(write: Write, tmp_path: Path) -> None:
    why = "it drifted " * 30
    latency = timed(1.2).latency
    assert latency is not None
    noisy = timed(1.2).model_copy(update={"latency": latency.model_copy(update={"noisy_because": why})})
    files = write("a.jsonl", timed(1.2)), write("b.jsonl", noisy)
    change = next(one for one in json.loads(compare(*files, "--json").stdout)["changes"] if one["reason"])
    assert why.strip() in change["reason"]
    compare(*files, "--markdown", tmp_path / "comment.md")
    row = next(line for line in (tmp_path / "comment.md").read_text().splitlines() if "| not measured |" in line)
    shown = row.split(" | ")[2]
    assert shown.startswith("in ")
    assert shown.endswith(" ...")
    assert len(shown) <= 120


def test_strict_also_finds_what_was_not_compared(write: Write) -> None:
    alike = [write(f"{name}.jsonl", timed(1.2, method="sid-streamed")) for name in "ab"]
    more = write("more.jsonl", timed(1.2), timed(1.2, depth=4, modules=4))
    noisy = make_record(TIMED | {"method": "sid-streamed"}, status="skipped", message="larger than one that failed")
    unmeasured = write("unmeasured.jsonl", noisy)
    assert compare(*alike, "--strict").exit_code == 0
    for other, said in ((more, "1 cell only in"), (unmeasured, "not measured")):
        for form in ([], ["--pairs"]):
            assert compare(*form, alike[0], other).exit_code == 0
            result = compare(*form, alike[0], other, "--strict")
            assert result.exit_code == 1
            assert said in result.stderr.partition("--strict: ")[2]


def test_cells_of_one_run_only_are_named_in_markdown_and_by_strict(write: Write, tmp_path: Path) -> None:
    first, second, out = write("a.jsonl", timed(1.2)), tmp_path / "b.jsonl", tmp_path / "comment.md"
    depths = (4, 8, 16, 32)
    second = write("b.jsonl", timed(1.2), *(timed(1.2, depth=depth, modules=4) for depth in depths))
    told = compare(first, second, "--strict", "--markdown", out).stderr.partition("4 cells only in ")[2]
    assert sum(f"depth {depth}, " in told for depth in depths) == 3
    assert "and 1 more" in told
    folded = (
        out.read_text(encoding="utf-8").partition("<details><summary>4 cells only in ")[2].partition("</details>")[0]
    )
    assert [f"depth {depth}, " in folded for depth in depths] == [True] * 4


@pytest.mark.parametrize("method", ["bp", FIXED_WORK])
def test_strict_finds_that_a_reference_of_times_was_skipped(write: Write, method: str) -> None:
    cell = TIMED | {"method": method, "passes": ["latency"]}
    before = write("a.jsonl", timed(1.2), make_record(cell, latency=(1.0, 1.0, 1.0)))
    after = write("b.jsonl", timed(1.2), make_record(cell, status="skipped", message="a larger one failed"))
    for form in ([], ["--pairs"]):
        assert compare(*form, before, after).exit_code == 0
        strict = compare(*form, before, after, "--strict")
        assert strict.exit_code == 1
        assert "not measured" in strict.stderr.partition("--strict: ")[2]
    row = next(line for line in compare(before, after).stdout.splitlines() if line.startswith("status"))
    assert "not measured  ok to skipped: a larger one failed" in row


def test_a_quoted_pattern_stands_for_what_it_matches(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a1", "a2", "b1"):
        write(f"{name}.jsonl", timed(1.2))
    monkeypatch.chdir(tmp_path)
    assert json.loads(compare("a1.jsonl", "b*.jsonl", "--json").stdout)["second"] == "b1.jsonl"
    assert json.loads(compare("b*.jsonl:made", "a1.jsonl", "--json").stdout)["first"] == "b1.jsonl:made"
    several = compare("b1.jsonl", "a*.jsonl")
    assert several.exit_code == 2
    assert "'a*.jsonl' matches 2 files: a1.jsonl, a2.jsonl; legal: a pattern of one file" in several.stderr
    assert "no file matches 'c*.jsonl'" in compare("b1.jsonl", "c*.jsonl").stderr
    pairs = compare("--pairs", "a*.jsonl", "b*.jsonl", "--markdown", "pairs.md")
    assert pairs.exit_code == 0
    assert len((tmp_path / "pairs.md").read_text().splitlines()) == 2 + 3


def test_a_file_with_several_names_counts_once_among_pairs(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write(f"{name}.jsonl", timed(1.2))
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    monkeypatch.chdir(tmp_path)
    names = ["a.jsonl", "./a.jsonl", str(tmp_path / "a.jsonl"), "link.jsonl", "*.jsonl"]
    alone = compare("--pairs", *names[:-1])
    assert alone.exit_code == 2
    assert "1 results file with --pairs; legal: two or more" in alone.stderr
    suites = [f"{name}:made" for name in names]
    for given in (names, suites):
        assert compare("--pairs", *given, "--markdown", "pairs.md").exit_code == 0
        assert len(Path("pairs.md").read_text().splitlines()) == 2 + 1
    assert compare("--pairs", "a.jsonl", "a.jsonl:made").exit_code == 0  # all suites, and one of them


@pytest.mark.parametrize(("second", "shown"), [(40_000_100, "+0.00025 %"), (39_999_900, "-0.00025 %")])
def test_a_small_change_of_bytes_is_not_shown_as_none(write: Write, second: int, shown: str) -> None:
    result = compare(write("a.jsonl", timed(1.2, memory=40_000_000)), write("b.jsonl", timed(1.2, memory=second)))
    assert shown in result.stdout
