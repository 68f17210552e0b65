"""The error of a prediction, relative times, and what a GPU needs besides, from measurements of the same rule."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli, UseExecutor
from hypothesis import given
from hypothesis import strategies as st
from record_builder import made_data, make_record
from typer.testing import CliRunner

import bench.cli.app
from bench.analysis.measured import Kind, Measured, measured_of
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.execute.executor import Executor
from bench.plan.fit.allowance import Allowance, allowance_of
from bench.plan.fit.errors import Experience, PredictionError
from bench.plan.fit.shipped import shipped, to_table
from bench.plan.grid import at_batch, memory_cells, shape_of
from bench.plan.tasks import Failure, predict
from bench.store.measurements.memory import Memory

ROOT = Path(__file__).parents[3]
REFERENCE = sorted((ROOT / "results" / "reference").glob("*.jsonl"))
SIZES: dict[str, Any] = {
    "network": "pipeline-linear",
    "dataset": "random",
    "image_size": 6,
    "channels": 1,
    "classes": 10,
    "depth": 4,
    "modules": 2,
    "width": 9,
    "hidden": 7,
    "batch_size": 16,
    "passes": ["memory", "latency"],
}


def cell(method: str = "bp", **axes: Any) -> Cell:
    return make_cell({"method": method, **SIZES, **axes})


def planned(method: str = "bp", **axes: Any) -> Cell:
    return memory_cells([cell(method, **axes)])[0]


def bytes_of_one_rank(of: Cell, round_to: int) -> Memory:
    answer = predict(of, round_to)
    assert not isinstance(answer, Failure), answer.message
    (memory,) = answer
    return memory


def measured(of: Cell, off_by: float = 0.0, by_allocator: float | None = None, **values: Any) -> Measured:
    """A measurement that differs from the prediction of its cell by given shares."""
    memory = bytes_of_one_rank(at_batch(of, of.batch_size), 1 if of.device == "cpu" else 512)
    total = memory.peak_total_bytes
    allocator = None if by_allocator is None else round(total * (1 + by_allocator))
    shape, classes = shape_of(of)
    known = {"cell": of, "shape": shape, "classes": classes, "allocator_bytes": allocator}
    return Measured(**(known | {"exact_bytes": round(total * (1 + off_by))} | values))


def error_of(asked: Cell, known: Iterable[Measured], kind: Kind = "cpu", round_to: int = 1) -> PredictionError | None:
    return Experience(known, kind).errors([asked], round_to, 1, lambda answers, _: answers)[asked]


@pytest.mark.parametrize("head", ["linear", "mlp-sr"])
def test_a_measurement_is_predicted_with_the_heads_that_it_has(head: str) -> None:
    error = error_of(planned("dgl", head="mlp-sr"), [measured(planned("dgl", head=head))])
    assert error is not None
    assert error.share == 0.0


def test_the_error_is_the_largest_of_the_cells_that_differ_least() -> None:
    known = [
        measured(cell(batch_size=4), 0.01, 0.05),
        measured(cell(batch_size=64), -0.04, 0.02),
        measured(cell(network="cascade-linear"), 0.5),
        measured(cell(micro_batches=2), 0.6),
        measured(cell("sid-streamed"), 0.7),
    ]
    error = error_of(planned(), known)
    assert error is not None
    assert (error.cells, error.network, error.settings) == (2, "pipeline-linear", "")
    assert error.share == pytest.approx(-0.04, abs=1e-4)
    assert error.allocator_share == pytest.approx(0.05, abs=1e-4)


@pytest.mark.long
def test_settings_count_more_than_the_network_and_the_network_more_than_sizes() -> None:
    other_network = measured(cell(network="cascade-linear", depth=4, modules=2, recompute="modules"), 0.1)
    other_setting = measured(cell(micro_batches=2), 0.2)
    other_sizes = measured(cell(recompute="modules", modules=4), 0.3)
    asked = planned(recompute="modules")
    by_setting = error_of(asked, [other_network, other_setting])
    by_network = error_of(asked, [other_network, other_setting, other_sizes])
    fallback = error_of(asked, [other_setting])
    assert by_setting is not None
    assert by_network is not None
    assert fallback is not None
    assert (by_setting.network, by_setting.settings) == ("cascade-linear", "")
    assert by_network.share == pytest.approx(0.3, abs=1e-3)
    assert (fallback.network, fallback.settings) == ("pipeline-linear", "in 2 micro-batches, without recompute")


def test_what_was_not_measured_on_the_device_is_not_measured() -> None:
    on_cpu, timed_only = measured(cell()), measured(cell(), exact_bytes=None, ratio=1.0, ratio_ci95=(0.9, 1.1))
    assert error_of(planned("sid-streamed"), [on_cpu]) is None
    assert error_of(planned(), [timed_only]) is None
    assert error_of(planned(), [on_cpu], "cuda", 512) is None
    assert error_of(planned(), []) is None
    elsewhere = measured(cell(), cell=cell().model_copy(update={"network": "not-installed"}))
    assert error_of(planned(), [elsewhere]) is None


def test_on_a_gpu_the_allocator_is_what_predictions_are_compared_with() -> None:
    error = error_of(planned(), [measured(cell(device="cuda"), 0.3, 0.08)], "cuda", 512)
    assert error is not None
    assert error.share == pytest.approx(0.08, abs=1e-4)


def test_other_data_of_the_same_shape_are_the_same_configuration() -> None:
    digits = make_cell({"method": "bp", "depth": 2, "modules": 2, "hidden": 7, "batch_size": 16, "dataset": "digits"})
    alike = digits.model_dump() | {"dataset": "random", "image_size": 8, "channels": 1, "classes": 10}
    alike["passes"] = ["memory"]
    own = measured(digits, ratio=1.0, ratio_ci95=(0.9, 1.1), processes=5)
    (asked,) = memory_cells([make_cell(alike)])
    error, time = error_of(asked, [own]), Experience([own], "cpu").time(asked)
    assert error is not None
    assert error.share == 0
    assert time is not None
    assert (time.ratio, time.ci95, time.processes) == (1.0, (0.9, 1.1), 5)


def test_the_time_is_that_of_the_nearest_batch_and_of_nothing_else_that_differs() -> None:
    def timed(ratio: float, **axes: Any) -> Measured:
        return measured(cell("sid-streamed", **axes), ratio=ratio, ratio_ci95=(ratio - 0.1, ratio + 0.1))

    others = [timed(7.0, modules=4), timed(8.0, hidden=8), timed(9.0, recompute="modules"), timed(6.0, image_size=7)]
    known = Experience([timed(0.5, batch_size=2), timed(0.7, batch_size=128), *others], "cpu")
    near, far = known.time(planned("sid-streamed")), known.time(planned("sid-streamed", batch_size=64))
    assert near is not None
    assert far is not None
    assert (near.ratio, near.batch_size) in ((0.5, 2), (0.7, 128)), "16 is as far from 2 as from 128"
    assert (far.ratio, far.batch_size) == (0.7, 128)
    assert Experience(others, "cpu").time(planned("sid-streamed")) is None
    assert known.time(planned("bp")) is None


def test_a_measurement_given_first_counts() -> None:
    mine, shipped_one = measured(cell(), 0.1), measured(cell(), 0.2)
    error = error_of(planned(), [mine, shipped_one])
    assert error is not None
    assert (error.cells, round(error.share, 3)) == (1, 0.1)


@given(
    total=st.integers(0, 2**45),
    share=st.floats(-0.5, 3, allow_nan=False),
    context=st.integers(0, 2**34),
    budget=st.integers(1, 2**45),
)
def test_the_largest_prediction_within_a_budget_fits_and_one_more_byte_does_not(
    total: int, share: float, context: int, budget: int
) -> None:
    error = PredictionError(share, None, 1, "n", "", None)
    for allowance in (Allowance("cuda", context, 1, 0.1), Allowance("cpu")):
        for of in (error, None):
            limit = allowance.limit(budget, of)
            if limit >= 0:
                assert allowance.needed(limit, of) <= budget
            assert allowance.needed(max(limit, -1) + 1, of) > budget
            assert allowance.needed(total, of) >= total
            assert (allowance.needed(total, of) <= budget) == (total <= limit)


def test_the_allowance_is_the_most_that_was_measured() -> None:
    known = [measured(cell(device="cuda"), context_bytes=size) for size in (5, 9, None)]
    errors = [PredictionError(share, None, 1, "n", "", None) for share in (-0.2, 0.07)]
    allowance = allowance_of("cuda", known, [*errors, None])
    assert (allowance.context_bytes, allowance.context_cells, allowance.usual_share) == (9, 2, 0.07)
    assert allowance.share(errors[0]) == 0
    assert allowance.share(None) == 0.07
    of_other_settings = PredictionError(0.01, None, 1, "n", "without recompute", None)
    assert allowance.share(of_other_settings) == 0.07, "how these settings are off was not measured"
    assert allowance_of("cuda", [], []).needed(100, None) == 100
    assert allowance_of("cpu", known, errors).needed(100, errors[1]) == 100


def test_records_become_measurements_with_units_and_what_is_unknown_stays_so() -> None:
    environment = {"gpu": "a GPU", "cpu": "a CPU", "torch": "2.0"}
    data = made_data(6)
    plain = make_record({"method": "bp"}, memory=1000, latency=(0.9, 0.8, 1.0), data=data, noisy_because="load")
    (one,) = measured_of([plain])
    assert (one.exact_bytes, one.allocator_bytes, one.context_bytes) == (2000, 7000, None)
    assert (one.ratio, one.ratio_ci95, one.processes, one.is_noisy) == (0.9, (0.8, 1.0), 1, True)
    assert (one.machine, one.kind, one.total_bytes) == ("a test's", "cpu", 2000)
    on_gpu = make_record({"method": "bp", "device": "cuda"}, memory=1000, data=data, environment=environment)
    assert on_gpu.memory is not None
    assert on_gpu.memory.allocator is not None
    allocator = on_gpu.memory.allocator.model_copy(update={"reserved_bytes": 9000, "device_bytes": 50_000})
    memory = on_gpu.memory.model_copy(update={"allocator": allocator})
    (two,) = measured_of([on_gpu.model_copy(update={"memory": memory})])
    assert (two.total_bytes, two.context_bytes, two.machine, two.torch) == (7000, 41_000, "a GPU", "2.0")
    failed = make_record({"method": "bp"}, data=data, status="oom", message="too large")
    compiled = plain.model_copy(update={"memory": memory.model_copy(update={"instrument": "allocator"})})
    nothing = make_record({"method": "bp"}, accuracy=0.5, data=data)
    assert measured_of([failed, compiled, nothing]) == []


@pytest.mark.long
def test_the_table_that_comes_with_the_package_is_made_of_the_reference_results() -> None:
    text = to_table(REFERENCE)
    made = ROOT / "bench" / "plan" / "fit" / "measured.jsonl"
    assert made.read_text(encoding="utf-8") == text, (
        "make it anew: .venv/bin/python -m bench.plan.fit.shipped results/reference/*.jsonl"
    )
    known = shipped()
    assert {one.kind for one in known} == {"cpu", "cuda"}
    assert all(one.exact_bytes or one.ratio for one in known)


def test_bytes_of_the_reference_results_on_the_cpu_are_predicted_exactly() -> None:
    known = [one for one in shipped() if one.kind == "cpu" and one.exact_bytes and one.cell.depth <= 4]
    assert len(known) >= 10
    for one in known[::3]:
        memory = bytes_of_one_rank(at_batch(one.cell, one.cell.batch_size), 1)
        assert memory.peak_total_bytes == one.exact_bytes


@pytest.mark.long
def test_a_gpu_adds_context_and_workspaces_to_the_prediction() -> None:
    arguments = ["fit", "pipeline-resnet18", "--budget", "2GiB", "--image-size", "32", "--batch-size", "8", "--json"]
    arguments += ["--methods", "sid-streamed", "--modules", "8", "--set", "recompute=none", "--set", "micro_batches=1"]
    on = {}
    for device in ("cpu", "cuda"):
        ended = CliRunner().invoke(bench.cli.app.app, [*arguments, "--set", f"device={device}"])
        assert ended.exit_code == 0, ended.output
        on[device] = json.loads(ended.stdout)
    contexts = [one.context_bytes for one in shipped() if one.context_bytes is not None]
    assert on["cuda"]["allowance"]["context_bytes"] == max(contexts)
    assert on["cuda"]["allowance"]["context_cells"] == len(contexts)
    (cpu,), (cuda,) = on["cpu"]["rows"], on["cuda"]["rows"]
    assert cuda["prediction_error"]["network"] == "pipeline-resnet18"
    assert "NVIDIA" in cuda["prediction_error"]["machine"]
    assert cuda["bytes"]["total"] > cpu["bytes"]["total"], "blocks of 512 bytes"
    added = cuda["bytes"]["needed"] - cuda["bytes"]["total"] - max(contexts)
    assert 0 <= added - cuda["bytes"]["total"] * cuda["allowance_share"] < 2000
    assert cuda["budgets"][0]["largest_batch"] < cpu["budgets"][0]["largest_batch"]


@pytest.mark.long
def test_records_of_mine_and_what_is_measured_here_stand_beside_the_prediction(
    tmp_path: Path, cli: RunCli, use_executor: UseExecutor, executor: Executor
) -> None:
    use_executor(lambda _: executor)
    sizes = ("--image-size", 6, "--set", "channels=1", "--set", "width=9", "--set", "hidden=7", "--set", "depth=4")
    asked = ("fit", "pipeline-linear", "--budget", "1GiB", *sizes, "--batch-size", 8, "--modules", 2)
    asked = (*asked, "--methods", "bp-plain", "--set", "recompute=none", "--set", "micro_batches=1", "--json")
    records = tmp_path / "records.jsonl"
    ended = cli(*asked, "--measure", "--measure-seconds", 20, "--measure-out", records)
    assert ended.exit_code == 0, ended.output
    assert "bytes were measured at the smallest legal batch and at batch 8, times at batch" in ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    assert row["prediction_error"]["share"] == 0
    assert row["prediction_error"]["cells"] == 2
    assert row["prediction_error"]["network"] == "pipeline-linear"
    assert row["time"]["processes"] == 3
    assert row["time"]["ci95"][0] <= row["time"]["ratio"] <= row["time"]["ci95"][1]
    again = json.loads(cli(*asked, "--results", records).stdout)["rows"][0]
    assert again["prediction_error"] == row["prediction_error"]
    assert again["time"] == row["time"]
    (without,) = json.loads(cli(*asked).stdout)["rows"]
    assert without["time"] is None
