"""What is published of the reference records: numbers as text, README's generated parts, the findings, the pages."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from record_builder import made_data, make_record

from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.reference.__main__ import write_texts
from bench.reference.claims import CLAIM_GROUPS
from bench.reference.numbers import Numbers
from bench.reference.pages import suites_in, write_page
from bench.reference.tables import accuracy_table, costs_table, fits_table, most_accurate
from bench.reference.texts import rendered, with_blocks
from bench.store.measurements.accuracy import WrongLabels
from bench.store.measurements.ranks import Ranks
from bench.store.record import Record

ROOT = Path(__file__).parents[2]
RECORDS, PAGES = ROOT / "results" / "reference", ROOT / "reports" / "reference"
PACKED = re.compile(r"<svg.*?</svg>|<script.*?</script>|<meta[^>]*Content-Security-Policy[^>]*>", flags=re.DOTALL)
DATED = re.compile(r"page made [-0-9T:+]+")


def numbers_of(folder: Path, *records: Record, suite: str = "made") -> Numbers:
    folder.mkdir(exist_ok=True)
    (folder / f"{suite}.jsonl").write_text("".join(f"{record.line()}\n" for record in records), encoding="utf-8")
    return Numbers(folder)


def costs(method: str, size: int, ratio: tuple[float, float, float], **axes: Any) -> Record:
    cell = {"method": method, "passes": ["memory", "latency"], "processes": 2, **axes}
    block = [0.01 * ratio[0], 0.01, 0.01, 0.01 * ratio[0]]
    return make_record(cell, size, ratio, blocks=[[block], [block]])


def test_costs_are_those_of_the_usual_settings_over_bp(tmp_path: Path) -> None:
    numbers = numbers_of(
        tmp_path,
        costs("bp", 200, (1.0, 0.98, 1.02)),
        costs("bp", 100, (1.3, 1.2, 1.4), recompute="modules"),
        costs("bp", 60, (1.1, 1.0, 1.2), micro_batches=4),
        costs("sid-streamed", 50, (0.876, 0.851, 0.904)),
        costs("sid-streamed", 20, (1.5, 1.4, 1.6), micro_batches=2),
    )
    assert numbers.activations("made", method="sid-streamed") == "25 %"
    assert numbers.activations("made", method="sid-streamed", micro_batches=2) == "10 %"
    assert numbers.activations("made", method="bp-checkpoint") == "50 %"
    assert numbers.activations("made", method="bp-microbatch") == "30 %"
    assert numbers.time_interval("made", method="bp-microbatch") == "1.10 [1.00, 1.20]"
    assert numbers.time_interval("made", method="sid-streamed") == "0.88 [0.85, 0.90]"


def test_an_interval_of_one_process_is_refused(tmp_path: Path) -> None:
    cell = {"method": "sid-streamed", "passes": ["memory", "latency"]}
    numbers = numbers_of(tmp_path, make_record(cell, 50, (1.0, 0.9, 1.1)))
    with pytest.raises(ConfigError, match="was timed in one process"):
        numbers.time_interval("made", method="sid-streamed")


@pytest.mark.parametrize(("runs", "time"), [(None, "0.56"), ([2], "0.56"), ([1, 1], "0.56 [0.54, 0.58]")])
def test_a_time_on_ranks_has_an_interval_over_several_runs(tmp_path: Path, runs: list[int] | None, time: str) -> None:
    record = make_record(
        {"method": "sid-parallel", "passes": ["latency"], "ranks": 2, "modules": 4}, None, (1, 0.9, 1.1)
    )
    ranks = Ranks(
        modules=[2, 2],
        ratio_to_one_rank=0.56,
        ratio_to_one_rank_ci95=(0.54, 0.58),
        bound=0.51,
        busy_share=None,
        peak_activation_bytes=None,
        peak_total_bytes=None,
        one_rank_blocks_by_process=runs,
    )
    numbers = numbers_of(tmp_path, record.model_copy(update={"ranks": ranks}), suite="parallel")
    assert numbers.on_ranks("sid-parallel") == (time, "0.51")


def test_accuracies_are_means_over_seeds(tmp_path: Path) -> None:
    records = [
        make_record(
            {"method": method, "passes": ["accuracy"], "seed": seed}, accuracy=share, data=made_data(8, "a", 400)
        )
        for method, shares in (("bp", (0.5, 0.75)), ("sid-streamed", (0.25, 0.5)))
        for seed, share in enumerate(shares)
    ]
    numbers = numbers_of(tmp_path, *records)
    assert numbers.accuracy("made", method="bp") == "62.5"
    assert numbers.accuracy("made", "chosen", method="sid-streamed") == "37.5"
    assert numbers.seeds("made", method="bp") == 2
    columns = [("last", "last", {"alpha": 0.5}), ("chosen", "chosen", {})]
    table = accuracy_table(numbers, "made", {}, {"SID": {"method": "sid-streamed"}}, columns)
    assert table.splitlines()[2:] == ["| SID | 37.5 | 37.5 |"]
    both = {"SID": {"method": "sid-streamed"}, "BP": {"method": "bp"}}
    assert most_accurate(numbers, "made", {}, both) == "BP"
    assert numbers.must_hold(condition=True, text="BP is best") == ""
    with pytest.raises(ConfigError, match="a text says 'SID is best', and the records do not"):
        numbers.must_hold(condition=False, text="SID is best")


def learned(shares: list[float]) -> list[Record]:
    """Records of SID whose seeds have learnt these shares of 10 wrong labels."""
    records = []
    for seed, share in enumerate(shares):
        axes = {"method": "sid-streamed", "passes": ["accuracy"], "seed": seed, "noise_rate": 0.4}
        record = make_record(axes, accuracy=0.5, data=made_data(8, "a", 400))
        wrong = WrongLabels(images=10, learned_share=share, corrected_share=1 - share, other_share=0)
        assert record.accuracy is not None
        accuracy = record.accuracy.model_copy(update={"wrong_labels_last": wrong})
        records.append(record.model_copy(update={"accuracy": accuracy}))
    return records


def test_a_table_of_accuracies_says_what_was_learnt_and_over_how_many_seeds(tmp_path: Path) -> None:
    numbers = numbers_of(tmp_path, *learned([0.25, 0.5]))
    assert numbers.learned("made", method="sid-streamed") == "38"
    methods = {"SID": {"method": "sid-streamed"}}
    columns = [("last", "last", {"noise_rate": 0.4})]
    table = accuracy_table(numbers, "made", {}, methods, columns, with_seeds=True, with_learned=True)
    assert table.splitlines() == [
        "| method | last | memorised | seeds |",
        "| --- | --- | --- | --- |",
        "| SID | 50.0 | 38 | 2 |",
    ]


def test_what_was_learnt_of_no_wrong_label_is_refused(tmp_path: Path) -> None:
    record = make_record({"method": "bp", "passes": ["accuracy"]}, accuracy=0.5, data=made_data(8, "a", 400))
    with pytest.raises(ConfigError, match="bp'} has no wrong labels"):
        numbers_of(tmp_path, record).learned("made", method="bp")


def test_a_locked_share_is_the_mean_over_processes(tmp_path: Path) -> None:
    record = costs("bp", 100, (1.0, 0.9, 1.1))
    assert record.latency is not None
    with pytest.raises(ConfigError, match="bp'} has no steps in whose trace modules are separate"):
        numbers_of(tmp_path, record).locked("made", method="bp")
    latency = record.latency.model_copy(update={"locked_shares": [0.4, 0.43]})
    numbers = numbers_of(tmp_path / "other", record.model_copy(update={"latency": latency}))
    assert numbers.locked("made", method="bp") == "42 %"


def test_the_cells_that_were_measured_are_those_of_the_suite(tmp_path: Path) -> None:
    cells = load_sweep("smoke").cells
    of_suite = make_record(cells[0].model_dump())
    assert of_suite.id == cells[0].id
    other = make_record({"method": "bp", "passes": ["memory"], "seed": 99})
    assert numbers_of(tmp_path, of_suite, other, suite="smoke").so_far("smoke") == f"; 1 of {len(cells)} cells so far"


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"method": "sid-published"}, "there is no record of {'method': 'sid-published'} with the pass latency"),
        ({"method": "bp"}, "2 records of {'method': 'bp'} with the pass latency; legal: one"),
    ],
)
def test_a_number_that_no_record_or_several_give_is_refused(tmp_path: Path, axes: dict[str, Any], said: str) -> None:
    numbers = numbers_of(
        tmp_path, *(costs("bp", 200, (1.0, 0.9, 1.1), batch_size=batch_size) for batch_size in (32, 64))
    )
    with pytest.raises(ConfigError, match=re.escape(f"made: {said}")):
        numbers.time_interval("made", **axes)


def test_a_text_that_rests_on_another_verdict_is_refused(tmp_path: Path) -> None:
    records = [costs("bp", 100, (1.0, 0.9, 1.1)), costs("sid-streamed", 10, (1.0, 0.9, 1.1))]
    for suite in CLAIM_GROUPS["memory"].suites:
        numbers = numbers_of(tmp_path, *records, suite=suite)
    assert numbers.must_be("memory-streamed", "supported") == ""
    with pytest.raises(ConfigError, match="memory-streamed is refuted; by the records it is supported"):
        numbers.must_be("memory-streamed", "refuted")
    assert numbers.verdict("memory-streamed").answers == "1 of 1 hold"
    assert "| supported | 1 of 1 hold | -90.0 % |" in numbers.verdicts("memory")


def test_one_comparison_of_a_claim_is_found_by_its_cell(tmp_path: Path) -> None:
    shallow = [costs("bp", 100, (1.0, 0.9, 1.1)), costs("sid-streamed", 10, (1.0, 0.9, 1.1))]
    deep = [costs(method, size, (1.0, 0.9, 1.1), depth=8) for method, size in (("bp", 100), ("sid-streamed", 150))]
    for suite in CLAIM_GROUPS["memory"].suites:
        numbers = numbers_of(tmp_path, *shallow, *deep, suite=suite)
    of = {"of": "activation_bytes"}
    assert numbers.effect("memory-streamed", "depth 8", **of) == "+50.0 %"
    assert numbers.answer("memory-streamed", "depth 8", **of) == "no"
    assert numbers.answer("memory-streamed", "depth 4", **of) == "yes"
    assert [numbers.count("memory-streamed", answer) for answer in ("yes", "no", "open")] == [1, 1, 0]
    assert numbers.verdict("memory-streamed").answers == "1 of 2 hold, 1 contrary"
    with pytest.raises(ConfigError, match="memory-streamed: 2 comparisons have depth and activation_bytes; legal: one"):
        numbers.answer("memory-streamed", "depth", **of)


def test_comparisons_with_controls_are_counted_apart(tmp_path: Path) -> None:
    records = [
        costs("bp", 200, (1.0, 0.9, 1.1)),
        costs("sid-streamed", 10, (1.0, 0.9, 1.1)),
        costs("bp", 15, (1.0, 0.9, 1.1), recompute="modules"),
    ]
    for suite in CLAIM_GROUPS["memory"].suites:
        numbers = numbers_of(tmp_path, *records, suite=suite)
    row = numbers.verdict("memory-in-total")
    assert (row.answers, row.comparisons) == ("1 of 1 hold", 3)
    assert row.answers_text.startswith("1 of 1 hold; with controls ")
    assert row.control_answers == "1 of 2 hold, 1 not measured"


def test_cells_that_differ_in_the_seed_only_are_counted_once(tmp_path: Path) -> None:
    cells = [{"method": method, "seed": seed} for method in ("bp", "sid-streamed") for seed in range(3)]
    data = made_data(8, "a", 400)
    records = [make_record({**cell, "passes": ["accuracy"]}, accuracy=0.5, data=data) for cell in cells]
    numbers = numbers_of(tmp_path, *records)
    assert numbers.trained("made") == 2
    assert numbers.trained("made", method="bp") == 1


def test_the_largest_error_of_a_plan_is_that_of_the_rules_in_question(tmp_path: Path) -> None:
    errors = {"bp": {"share": -0.02}, "sid-streamed": {"share": 0.01}, "dgl": {"share": 0.5}, "dfa": None}
    rows = [{"rule": rule, "prediction_error": error} for rule, error in errors.items()]
    (tmp_path / "fit-made.json").write_text(json.dumps({"rows": rows}))
    assert Numbers(tmp_path).plan_error("made", ["bp", "sid-streamed", "dfa"]) == 0.02


def test_processors_are_those_of_suites_without_a_gpu(tmp_path: Path) -> None:
    xeon, epyc, host = ({"cpu": name} for name in ("Intel(R) Xeon(R) Processor", "AMD EPYC", "a GPU's host"))
    records = [make_record({"method": "bp", "seed": seed}, environment=cpu) for seed, cpu in enumerate((xeon, epyc))]
    numbers_of(tmp_path, *records)
    numbers = numbers_of(tmp_path, make_record({"method": "bp", "device": "cuda"}, environment=host), suite="gpu")
    assert numbers.processors() == "AMD EPYC and Intel Xeon"


def test_readme_and_the_verdicts_are_on_the_same_claims(tmp_path: Path) -> None:
    records = [costs("bp", 100, (1.0, 0.9, 1.1)), costs("sid-streamed", 10, (1.0, 0.9, 1.1))]
    for suite in {suite for group in CLAIM_GROUPS.values() for suite in group.suites}:
        numbers = numbers_of(tmp_path, *records, suite=suite)
    shown = [name for name, group in CLAIM_GROUPS.items() if group.in_readme]
    full = [line.split(" | ")[:3] for line in numbers.verdicts(*shown).splitlines()[2:]]
    brief = [line.removesuffix(" |").split(" | ") for line in numbers.verdicts_in_brief().splitlines()[2:]]
    assert full == brief
    assert ["| The activation bytes of SID, one module at a time, do not grow with depth.", "not measured"] in [
        line[:2] for line in brief
    ]


def test_a_table_has_a_line_per_method(tmp_path: Path) -> None:
    numbers = numbers_of(
        tmp_path,
        costs("bp", 200, (1.0, 0.98, 1.02), depth=8),
        costs("sid-streamed", 1, (0.876, 0.851, 0.904), depth=8),
        costs("sid-streamed", 50, (1.5, 1.4, 1.6), depth=16),
    )
    methods = {"BP": {"method": "bp"}, "SID": {"method": "sid-streamed"}}
    assert costs_table(numbers, "made", {"depth": 8}, methods).splitlines()[2:] == [
        "| BP | 100 % | 1.00 [0.98, 1.02] |",
        "| SID | 0.5 % | 0.88 [0.85, 0.90] |",
    ]


def test_largest_batches_stand_in_a_column_per_budget(tmp_path: Path) -> None:
    row = {
        "rule": "bp",
        "budgets": [{"budget": "16GiB", "largest_batch": 1389}, {"budget": "80GiB", "largest_batch": 7384}],
    }
    (tmp_path / "fit-made.json").write_text(json.dumps({"rows": [row]}))
    assert fits_table(Numbers(tmp_path), {"A": "made", "B": "made"}, {"BP": "bp"}, ["80GiB", "16GiB"]).splitlines() == [
        "| method | A, 80 GiB | A, 16 GiB | B, 80 GiB | B, 16 GiB |",
        "| --- | --- | --- | --- | --- |",
        "| BP | 7,384 | 1,389 | 7,384 | 1,389 |",
    ]
    with pytest.raises(ConfigError, match="fit-made: 0 rows of dgl; legal: one"):
        Numbers(tmp_path).largest_batches("made", "dgl")


def test_a_board_has_a_line_per_method_and_says_where_sid_stands(tmp_path: Path) -> None:
    numbers = numbers_of(
        tmp_path,
        costs("bp", 200, (1.0, 0.98, 1.02)),
        costs("sid-published", 220, (1.5, 1.4, 1.6)),
        costs("sid-streamed", 50, (0.876, 0.851, 0.904)),
    )
    assert [line.split(" | ")[0] for line in numbers.board("made", "cascade-linear").splitlines()[2:]] == [
        "| sid-streamed",
        "| bp",
        "| sid-published",
    ]
    assert "| 0.88 [0.85, 0.90] |" in numbers.board("made", "cascade-linear")
    assert "sid-streamed is 1st of 3 by activation bytes, 25.0 %" in numbers.place("made", "cascade-linear")
    with pytest.raises(ConfigError, match="made: 0 leaderboards of pipeline-conv; legal: one"):
        numbers.board("made", "pipeline-conv")


def test_a_block_is_replaced_and_the_rest_stays() -> None:
    text = "a\n<!-- one: made -->\nold\n<!-- end of one -->\nb\n<!-- two: made -->\n<!-- end of two -->\n"
    assert with_blocks(text, {"one": "new\nlines\n", "two": "2"}) == (
        "a\n<!-- one: made -->\nnew\nlines\n<!-- end of one -->\nb\n<!-- two: made -->\n2\n<!-- end of two -->\n"
    )


@pytest.mark.parametrize("times", [0, 2])
def test_a_block_has_one_place(times: int) -> None:
    with pytest.raises(ConfigError, match=rf"{times} places <!-- one: "):
        with_blocks("<!-- one: made -->\n<!-- end of one -->\n" * times, {"one": "new"})


def test_prose_is_wrapped_and_tables_are_not() -> None:
    text = rendered("suites", Numbers(RECORDS))
    assert max(len(line) for line in text.splitlines()) <= 120
    suites, _, hours = text.strip().rpartition("\n\n")
    assert all(line.startswith(("- ", "  ")) for line in suites.splitlines())
    assert re.fullmatch(r"The suites that need no GPU took \d+ hours in all\.", hours)


def test_readme_findings_and_verdicts_are_what_the_records_give(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "README.md", tmp_path)
    write_texts(tmp_path, RECORDS)
    for name in ("README.md", "docs/findings.md", "docs/evidence.md", "docs/verdicts.md"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")


def test_what_a_committed_page_says_is_what_its_records_give(tmp_path: Path) -> None:
    """Apart from figures and packed data, whose bytes differ between versions of matplotlib and zlib."""
    write_page(RECORDS, tmp_path, "noise-pipeline")
    made, committed = ((folder / "noise-pipeline.html").read_text(encoding="utf-8") for folder in (tmp_path, PAGES))
    assert PACKED.sub("", DATED.sub("", made)) == PACKED.sub("", DATED.sub("", committed))


@pytest.mark.slow
@pytest.mark.parametrize("suite", suites_in(RECORDS))
def test_every_committed_page_and_figure_is_what_its_records_give(tmp_path: Path, suite: str) -> None:
    write_page(RECORDS, tmp_path, suite)
    for file in tmp_path.iterdir():
        made, committed = (path.read_text(encoding="utf-8") for path in (file, PAGES / file.name))
        assert DATED.sub("", made) == DATED.sub("", committed), file.name


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)
    command = [sys.executable, "-m", "bench.reference", "--root", str(tmp_path), "--texts"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert f"cannot read {tmp_path}/results/reference/" in ended.stderr
