"""The figure of BP's curve against SID's."""

from pathlib import Path
from typing import Any

import pytest
from drawn_views import check_figures, texts_in
from record_builder import make_record

from bench.analysis.frame import records_frame
from bench.report import write_report
from bench.report.figures.figure import Figure
from bench.report.figures.rivals import rivals_figure
from bench.report.figures.style import look_of
from bench.store.record import Record


def costs(method: str, size: int, ratio: float, noisy_because: str | None = None, **axes: Any) -> Record:
    cell = {"method": method, "passes": ["memory", "latency"]} | axes
    blocks = [[[0.01 * ratio, 0.01, 0.01, 0.01 * ratio]]] * 5
    interval = (ratio, ratio - 0.01, ratio + 0.01)
    return make_record(cell, size, interval, blocks=blocks, noisy_because=noisy_because)


def compiled(method: str, size: int, of_bp: int, ratio: float, **axes: Any) -> Record:
    """A step whose bytes the allocator has counted, and BP's beside it."""
    record = costs(method, size, ratio, **axes)
    assert record.memory is not None
    update = {"instrument": "allocator", "bp_peak_activation_bytes": of_bp, "bp_peak_total_bytes": 2 * of_bp}
    return record.model_copy(update={"memory": record.memory.model_copy(update=update)})


def curves(**axes: Any) -> list[Record]:
    return [
        costs("bp", 1000, 1.0, **axes),
        costs("bp-checkpoint", 200, 1.3, **axes),
        costs("bp", 400, 1.1, micro_batches=4, **axes),
        compiled("bp-budget", 660, 1100, 0.98, activation_memory_budget=0.5, **axes),
        costs("sid-streamed", 200, 0.9, **axes),
        costs("sid-published", 1100, 1.4, **axes),
        compiled("sid-streamed-compiled", 165, 1100, 0.8, **axes),
        costs("deep-supervision", 1000, 1.0, **axes),
    ]


def figure_of(records: list[Record]) -> Figure | None:
    frame = records_frame(records)
    return rivals_figure(frame, look_of(frame))


def test_every_cell_with_both_curves_has_a_view_with_its_finding() -> None:
    figure = figure_of([*curves(), *curves(depth=8)])
    assert figure is not None
    check_figures([figure])
    assert len(figure.views) == 2
    view = figure.views[0]
    assert "deep-supervision" not in set(view.data["method"])
    assert view.finding == (
        "From 15.0 % of BP's bytes to 20.0 % only SID fits (time 0.80); from 20.0 % of BP's bytes on SID is faster "
        "(0.80 against 1.30)."
    )
    rows = view.data.set_index("method")
    assert rows.loc["sid-streamed-compiled", "counted by"] == "allocator"
    assert rows.loc["sid-streamed-compiled", "activations / BP"] == "0.15"
    assert rows.loc["bp-budget activation-memory-budget 0.5", "activations / BP"] == "0.6"
    on_curve = dict(zip(view.data["method"], view.data["on its curve"], strict=True))
    assert on_curve["sid-published"] == "no"
    assert on_curve["sid-streamed-compiled"] == "yes"
    assert any(text.endswith("*") for text in texts_in(view.wide))


@pytest.mark.parametrize("left_out", ["bp", "sid"])
def test_a_cell_with_few_ways_of_one_family_has_no_view(left_out: str) -> None:
    records = [record for record in curves() if not record.cell.method.startswith(left_out)]
    kept = [record for record in curves() if record.cell.method == ("bp" if left_out == "bp" else "sid-streamed")]
    assert figure_of([*records, *kept[:1]]) is None


def test_a_noisy_time_is_on_no_curve() -> None:
    records = [record for record in curves() if record.cell.method != "sid-streamed-compiled"]
    records = [record for record in records if record.cell.method != "sid-streamed"]
    records.append(costs("sid-streamed", 200, 0.9, noisy_because="a reason"))
    figure = figure_of(records)
    assert figure is not None
    check_figures([figure])
    (view,) = figure.views
    assert dict(zip(view.data["method"], view.data["on its curve"], strict=True))["sid-streamed"] == "no"
    assert "SID is faster" not in view.finding


@pytest.mark.long
def test_the_page_has_the_figure_beside_that_of_all_methods(tmp_path: Path) -> None:
    (tmp_path / "file.jsonl").write_text("".join(f"{record.line()}\n" for record in curves()))
    write_report([tmp_path / "file.jsonl"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    section = page.partition('<section id="tradeoff"')[2].partition("</section>")[0]
    assert section.index('id="memory-against-time"') < section.index('id="rivals"')
    assert "only SID fits" in section
