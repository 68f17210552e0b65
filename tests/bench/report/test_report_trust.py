"""The section on reliability: a sentence by rule, BP as its own control, states of the machine, failures."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import made_data, made_inference, make_record

from bench.analysis.bp_times import times_of_bp
from bench.analysis.frame import records_frame
from bench.report import write_report
from bench.report.figures.reliability import draw_reliability
from bench.report.sections.trust import reliability_sentence
from bench.report.tables.states import states_table
from bench.report.tables.unreliable import unreliable_table
from bench.store.record import Record

LATENCY = {"passes": ["latency"]}
WHY = "the interquartile range of the times of BP is 40 % of their median, more than 25 %"


def timed(method: str = "bp", noisy: str | None = None, blocks: Any = None, ratio: float = 1.0, **cell: Any) -> Record:
    latency = (ratio, ratio - 0.1, ratio + 0.1)
    return make_record({"method": method, **LATENCY, **cell}, latency=latency, noisy_because=noisy, blocks=blocks)


def watched(record: Record, *processes: dict[str, Any]) -> Record:
    """Returns ``record`` with counters and probes of processes."""
    content = record.model_dump(mode="json", by_alias=True)
    content["latency"]["processes"] = [
        {
            "median_seconds": 0.01,
            "bp_median_seconds": 0.01,
            "usage": None,
            "bp_usage": None,
            "parallel_efficiency": None,
        }
        | process
        for process in processes
    ]
    return Record.parse(content)


def usage(faults: float, voluntary: float = 0.0, involuntary: float = 0.0) -> dict[str, float]:
    return {"minor_faults": faults, "voluntary_switches": voluntary, "involuntary_switches": involuntary}


def sentence(*records: Record) -> str | None:
    return reliability_sentence(records_frame(records))


def section_of(records: list[Record], folder: Path) -> str | None:
    (folder / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    write_report([folder / "file.jsonl"], folder / "page.html")
    found = re.search(r'<section id="trust".*?</section>', (folder / "page.html").read_text(), re.DOTALL)
    return None if found is None else found[0]


def test_a_sentence_says_how_many_times_are_reliable() -> None:
    predicted = make_record({"passes": ["inference"]}, inference=made_inference(6000, 4000, 2.0))
    assert sentence(timed()) == "The only step time is reliable."
    assert sentence(timed(), timed(depth=8)) == "All 2 step times are reliable."
    assert sentence(timed(), predicted) == "The only step time is reliable. The only prediction time is reliable."


def test_the_sentence_names_the_noisy_cells() -> None:
    records = [timed(), timed("sid-streamed", WHY), timed("sid-streamed", depth=8)]
    assert sentence(*records) == ("1 of 3 step times is noisy: sid-streamed on cascade-linear, depth 4, batch 128.")
    noisy = [timed("sid-streamed", WHY, depth=depth) for depth in (4, 8, 12, 16, 20)]
    text = sentence(*noisy)
    assert text is not None
    assert text.startswith("5 of 5 step times are noisy: sid-streamed on cascade-linear, depth 4, batch 128; ")
    assert text.endswith("depth 12, batch 128; and 2 more.")


def test_without_times_there_is_no_word_of_reliability(tmp_path: Path) -> None:
    environment = {"cpu": "a test's", "doctor": {"turbo": "on"}}
    trained = make_record({"passes": ["accuracy"]}, accuracy=0.5, data=made_data(8), environment=environment)
    assert sentence(trained) is None
    assert section_of([trained], tmp_path) is None
    html = (tmp_path / "page.html").read_text()
    assert "turbo" not in html
    assert "step time" not in html


def test_predictions_that_cannot_be_relied_on_are_in_the_table_of_times() -> None:
    noisy = make_record({"passes": ["inference"]}, inference=made_inference(6000, 4000, 2.0, noisy_because=WHY))
    table = unreliable_table(records_frame([noisy, timed("sid-streamed", WHY)])).table
    assert table["time"].tolist() == ["step / BP", "prediction / plain"]
    assert table["ratio [95 %]"].tolist() == ["1.00 [0.90, 1.10] (1 process)", "2.00 [1.90, 2.10] (2 processes)"]
    assert set(table["reason"]) == {WHY}
    assert table["cell"].str.startswith("cascade-linear on digits, depth 4, 4 modules").all()


def test_bp_is_compared_with_itself_on_one_axis() -> None:
    records = [timed(), timed(depth=8, ratio=1.3), timed(depth=16, noisy=WHY), timed("sid-streamed", ratio=0.5)]
    figure = draw_reliability(records_frame(records), times_of_bp(records))
    assert figure is not None
    (view,) = figure.views
    assert view.finding == (
        "BP compared with itself: the interval contains 1 in 2 of 3 cells; the ratio furthest from 1 is 1.30."
    )
    assert view.data["BP / BP"].tolist() == ["1.300", "1.000", "1.000"]
    assert view.data["interval"].tolist()[0] == "[1.200, 1.400]"
    assert sorted(view.data["verdict"]) == ["noisy", "reliable", "reliable"]
    assert view.cells[0] == records[1].id
    for svg in (view.wide, view.narrow):
        assert re.findall(r'id="mark:(\d+):bp"', svg) == ["0", "1", "2"]


def test_bps_own_time_is_drawn_by_process_and_group() -> None:
    blocks = [np.full((4, 4), seconds) for seconds in (0.01, 0.02, 0.01)]
    shared = [timed(method, blocks=blocks, processes=3) for method in ("bp", "sid-streamed")]
    steady = timed("bp", blocks=[np.full((4, 4), 0.03)] * 3, processes=3, depth=8)
    records = [*shared, steady]
    groups = {group.group: group.factors for group in times_of_bp(records).by_process()}
    assert [factors for name, factors in groups.items() if "depth 4" in name] == [(1.0, 2.0, 1.0)]
    figure = draw_reliability(records_frame(records), times_of_bp(records))
    assert figure is not None
    view = figure.views[1]
    assert view.finding == (
        "BP's own step took its usual time, within 10 %, in 5 of 6 processes; it ranges from 1.00 to 2.00 of the usual."
    )
    first = view.data.iloc[0]
    assert (first["process"], first["step of BP, ms"], first["/ usual"]) == ("2 of 3", "20", "2.000")
    assert "bp, sid-streamed" in first["timed with"]
    assert len(re.findall(r'id="mark:\d+:bp"', view.wide)) == len(view.data) == len(view.cells) == 6
    assert set(view.cells) == {shared[0].id, steady.id}
    assert [cell == steady.id for cell in view.cells] == ["depth 8" in group for group in view.data["cells"]]


@pytest.mark.parametrize("records", [[], [make_record({"passes": ["memory"]}, 1000)], [timed("sid-streamed")]], ids=len)
def test_without_two_times_of_bp_there_is_no_figure(records: list[Record]) -> None:
    frame = records_frame(records) if records else records_frame([make_record({"passes": ["memory"]}, 1)])
    assert draw_reliability(frame, times_of_bp(records)) is None


def test_many_cells_of_bp_are_cut_to_those_that_deviate_most() -> None:
    records = [timed(depth=4 * (number + 1), ratio=1 + number / 100) for number in range(20)]
    figure = draw_reliability(records_frame(records), times_of_bp(records))
    assert figure is not None
    assert figure.views[0].data["BP / BP"].tolist()[:2] == ["1.190", "1.180"]
    assert len(figure.views[0].data) == 12
    assert "8 cells nearer to 1 are left out." in figure.caption


def test_probes_and_counters_are_a_table_with_the_worst_cell_first() -> None:
    probed = {"parallel_efficiency": [0.98, 0.99], "exchange_speed": [0.9, 0.3]}
    calm = watched(timed(), {"usage": usage(1.5), "bp_usage": usage(0.5)} | probed)
    busy = watched(
        timed("sid-streamed"),
        {"usage": usage(3, 20, 2), "bp_usage": usage(4), "parallel_efficiency": [0.5, 0.9]},
        {"usage": usage(1234, 10, 4), "bp_usage": None, "parallel_efficiency": [0.7]},
    )
    first, second = states_table([calm, busy]).table.to_dict("records")
    assert first["cell"].startswith("sid-streamed ")
    assert (first["parallel efficiency, median"], first["lowest"]) == ("0.70", "0.50")
    assert first["blocks below 0.75"] == "2 of 3"
    assert (first["minor faults"], first["minor faults, BP"]) == ("1,234.0", "4.0")
    assert (first["voluntary switches"], first["involuntary switches"]) == ("20.0", "4.0")
    assert second["blocks below 0.75"] == "0 of 2"
    assert (second["data exchange, median"], second["slowest"]) == ("0.60", "0.30")
    assert (first["data exchange, median"], first["slowest"]) == ("\N{EN DASH}", "\N{EN DASH}")


def test_times_without_probes_and_counters_have_no_table() -> None:
    assert states_table([timed(), watched(timed(depth=8), {})]).table.empty


def test_one_thread_has_no_parallel_efficiency_but_counters() -> None:
    (row,) = states_table([watched(timed(), {"usage": usage(1), "bp_usage": usage(2)})]).table.to_dict("records")
    assert row["lowest"] == "\N{EN DASH}"
    assert row["minor faults, BP"] == "2.0"


HOSTILE = "<script>alert('x')</script>&\""


def test_findings_of_the_doctor_are_counted_and_escaped(tmp_path: Path) -> None:
    found = [{"turbo": "on", HOSTILE: HOSTILE}, {"turbo": "on", "other processes": "0.31 of 2"}, {}]
    records = [
        timed(seed=seed).model_copy(update={"environment": {"cpu": "a test's", "doctor": doctor}})
        for seed, doctor in enumerate(found)
    ]
    section = section_of(records, tmp_path)
    assert section is not None
    assert "<li><strong>turbo</strong> (2 of 3 records), first found: on</li>" in section
    assert "<li><strong>other processes</strong> (1 of 3 records), first found: 0.31 of 2</li>" in section
    assert "machines" not in section, "findings of the doctor do not count as another machine"
    assert "<script>alert" not in section


def test_a_doctor_that_found_nothing_is_named_and_none_is_not(tmp_path: Path) -> None:
    calm = timed().model_copy(update={"environment": {"cpu": "a test's", "doctor": {}}})
    section = section_of([calm], tmp_path)
    assert section is not None
    assert "found nothing that disturbs times in 1 record." in section
    section = section_of([timed()], tmp_path)
    assert section is not None
    assert "doctor" not in section


@pytest.mark.parametrize(
    ("threads", "environments", "warns"),
    [
        ((None, None), ({"threads": 1}, {"threads": 2}), True),
        ((1, 2), ({"threads": 1, "pinned_cpus": [1]}, {"threads": 2, "pinned_cpus": [0, 1]}), False),
        ((None, None), ({"pinned_cpus": None}, {"pinned_cpus": [0, 1]}), True),
        ((None, None), ({"command": "run a"}, {"command": "run b"}), False),
        ((None, None), ({"kernel": "6.1"}, {"kernel": "6.2"}), True),
    ],
)
@pytest.mark.long
def test_times_of_different_machines_give_a_warning(
    tmp_path: Path, threads: tuple[int | None, ...], environments: tuple[dict[str, object], ...], warns: bool
) -> None:
    records = [
        timed(seed=seed, threads=count).model_copy(update={"environment": environment})
        for seed, (count, environment) in enumerate(zip(threads, environments, strict=True))
    ]
    section = section_of(records, tmp_path)
    assert section is not None
    assert ("The times come from 2 machines" in section) == warns


def test_bytes_of_different_machines_give_none(tmp_path: Path) -> None:
    records = [
        make_record({"passes": ["memory"], "seed": seed}, 1000, environment={"kernel": str(seed)}) for seed in (0, 1)
    ]
    assert section_of(records, tmp_path) is None


def test_instruments_that_disagree_are_counted(tmp_path: Path) -> None:
    records = [
        make_record({"passes": ["memory"], "seed": seed}, 1000, disagreement=disagreement)
        for seed, disagreement in enumerate((0.0, 0.02, -0.5, 0.01))
    ]
    section = section_of(records, tmp_path)
    assert section is not None
    assert "In 2 records, the allocator" in section


def test_failures_are_counted_by_status_and_listed(tmp_path: Path) -> None:
    records = [
        make_record({"passes": ["memory"], "seed": seed}, status=status, message=f"why {seed} <b>")
        for seed, status in enumerate(("oom", "oom", "crashed"))
    ]
    section = section_of(records, tmp_path)
    assert section is not None
    assert "<p>2 oom, 1 crashed.</p>" in section
    assert all(f"why {seed} &lt;b&gt;" in section for seed in range(3))
    assert "reliable" not in section


def test_a_long_table_of_failures_is_cut(tmp_path: Path) -> None:
    records = [make_record({"passes": ["memory"], "seed": seed}, status="oom", message="why") for seed in range(205)]
    section = section_of(records, tmp_path)
    assert section is not None
    assert section.count(">why<") == 200
    assert "5 more rows are left out" in section


def test_a_page_of_reliable_times_has_no_table_of_others(tmp_path: Path) -> None:
    section = section_of([timed()], tmp_path)
    assert section is not None
    assert "<strong>The only step time is reliable.</strong>" in section
    assert 'id="noisy"' not in section
    assert unreliable_table(records_frame([timed()])).table.empty
