"""The inference pass: the bytes and the times of a prediction, beside those of the plain network."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import methods_taking
from command_line import RunCli
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.analysis.predictions import summarise_predictions
from bench.config.cell import DEFAULT_PASSES, Cell
from bench.config.check import make_cell, plain_network_of
from bench.config.methods import load_method
from bench.errors import BenchError, ConfigError
from bench.measure.inference import (
    measure_inference_bytes,
    measure_inference_memory,
    plain_step,
    predict,
    sample_inference,
)
from bench.measure.memory.storages import StorageMeter, bytes_of
from bench.plan.grid import shape_of
from bench.report.page import write_report
from bench.store.file import read_records
from bench.store.sample import PredictionBytes, Sample
from bench.train.step import TrainingStep, build_step
from sid_core import Pipeline

NETWORKS = ["cascade-linear", "cascade-conv", "pipeline-conv"]


def make(method: str = "sid-streamed", network: str = "cascade-linear", **axes: Any) -> Cell:
    sizes = {"dataset": "random", "image_size": 8, "modules": 3, "hidden": 16, "width": 12, "batch_size": 6}
    depth = {} if network == "pipeline-conv" else {"depth": 3}
    return make_cell({"method": method, "network": network, **sizes, **depth, "passes": ["inference"], **axes})


def build(cell: Cell) -> tuple[TrainingStep, Tensor]:
    images = torch.randn(cell.batch_size, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return build_step(cell, *shape_of(cell)), images


CASES = [(method, network) for network in NETWORKS for method in methods_taking(make("bp", network))]


@pytest.mark.parametrize(("method", "network"), CASES)
def test_a_prediction_is_what_the_accuracy_pass_evaluates(method: str, network: str) -> None:
    step, images = build(make(method, network))
    step.network.eval()
    *_, expected = step.logits_by_module(step.network, images)
    prediction = predict(step, images)
    assert torch.equal(prediction, expected)  # type: ignore[arg-type]
    assert not prediction.requires_grad
    if load_method(method).logits_by_module is None:
        assert torch.equal(prediction, step.network(images))


@pytest.mark.parametrize("recompute", ["trunk", "modules", "all"])
def test_recomputation_is_no_part_of_a_prediction(recompute: str) -> None:
    plain, again = (build(make(network="cascade-conv", recompute=how)) for how in ("none", recompute))
    assert torch.equal(predict(*plain), predict(*again))
    assert measure_inference_memory(*plain) == measure_inference_memory(*again)


def test_a_prediction_in_bfloat16_runs_under_autocast() -> None:
    step, images = build(make(precision="bfloat16"))
    wide, _ = build(make())
    assert not torch.equal(predict(step, images), predict(wide, images))
    assert torch.allclose(predict(step, images), predict(wide, images), atol=0.05)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 9), width=st.integers(1, 30), hidden=st.integers(1, 30), classes=st.integers(2, 9),
    modules=st.integers(1, 3), layers=st.integers(1, 2),
)  # fmt: skip
def test_the_bytes_of_a_cascade_equal_a_count_by_hand(
    batch: int, width: int, hidden: int, classes: int, modules: int, layers: int
) -> None:
    sizes = {"width": width, "hidden": hidden, "classes": classes, "batch_size": batch}
    step, images = build(make(modules=modules, depth=modules * layers, **sizes))
    memory = measure_inference_memory(step, images)
    # In a module: the features, the belief before, their concatenation, and what one layer reads and writes. From the
    # second module on, the logits of the module before are still there.
    logits_before = classes if modules > 1 else 0
    layer = max(2 * hidden, hidden + classes)
    assert memory.peak_activation_bytes == 4 * batch * (2 * (width + classes) + layer + logits_before)
    persistent = [*step.network.parameters(), images]
    assert memory.peak_total_bytes == memory.peak_activation_bytes + bytes_of(persistent)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_bytes_are_those_of_the_forward_pass_without_gradients(network: str) -> None:
    step, images = build(make("bp", network))
    memory = measure_inference_memory(step, images)
    step.network.eval()
    with torch.no_grad(), StorageMeter(images.device) as meter:
        step.network(images)
    assert memory.peak_activation_bytes == meter.peak
    assert memory == measure_inference_memory(*build(make("sid-streamed", network))), "a prediction knows no rule"
    rounded = measure_inference_memory(step, images, round_to=512)
    assert rounded.peak_total_bytes > memory.peak_total_bytes
    assert rounded.peak_total_bytes % 512 == rounded.peak_activation_bytes % 512 == 0


def test_heads_that_a_prediction_does_not_run_do_not_count() -> None:
    step, images = build(make("bp-plain", "pipeline-conv"))
    memory = measure_inference_memory(step, images)
    *others, last = step.network.local_modules
    read = [*last.parameters(), *(parameter for module in others for parameter in module.stage.parameters())]  # type: ignore[union-attr]
    assert memory.peak_total_bytes == memory.peak_activation_bytes + bytes_of([*read, images])
    with_heads = measure_inference_memory(*build(make("bp", "pipeline-conv")))
    assert memory.peak_total_bytes < with_heads.peak_total_bytes


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("alpha", [0.5, (0.2, 0.5, 0.9)])
def test_the_plain_network_is_that_of_the_cell_with_one_module(network: str, alpha: Any) -> None:
    step, images = build(make("sid-published", network, alpha=alpha, recompute="modules"))
    plain = plain_step(step, images)
    assert plain.cell == plain_network_of(make("bp", network))
    assert plain.cell is not None
    assert (plain.cell.method, plain.cell.modules, plain.cell.recompute) == ("bp", 1, "none")
    assert len(plain.network.local_modules) == 1
    assert plain.cell.depth == (step.cell and step.cell.depth)
    kinds = (nn.Conv2d, nn.Linear)
    if network == "cascade-linear":  # a trunk, three hidden layers in one module, and its last layer
        assert sum(isinstance(part, kinds) for part in plain.network.modules()) == 1 + 3 + 1
    assert plain_step(plain, images) is plain
    assert predict(plain, images).shape == (6, 10)


def test_a_step_without_a_cell_has_no_plain_network() -> None:
    step, images = build(make())
    with pytest.raises(ValueError, match="a step without a cell has no plain network"):
        plain_step(dataclasses.replace(step, cell=None), images)


def test_a_method_without_logits_for_the_last_module_is_refused() -> None:
    step, images = build(make())
    with pytest.raises(RuntimeError, match="logits_by_module returned None for the last module"):
        predict(dataclasses.replace(step, logits_by_module=lambda *_: iter([None, None, None])), images)


def test_a_prediction_that_allocates_nothing_is_refused() -> None:
    step, images = build(make())
    kept = torch.zeros(6, 10)
    with pytest.raises(BenchError, match=r"the prediction allocates no tensor|the training step runs no operator"):
        measure_inference_memory(dataclasses.replace(step, logits_by_module=lambda *_: iter([kept])), images)


def test_the_pass_changes_neither_weights_nor_running_statistics() -> None:
    cell = make("bp", "pipeline-conv", latency_seconds=0.01)
    stages = [
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
    ]
    network = Pipeline.with_heads(stages, [4, 4], 10, hidden=5)
    step, images = build(cell)
    step = dataclasses.replace(step, network=network, plain_network=network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = measure_inference_bytes(step, images)
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    read = [value for name, value in before.items() if not name.endswith("num_batches_tracked")]
    assert found.peak_total_bytes == found.peak_activation_bytes + bytes_of([*read, images])


def test_predictions_of_both_networks_are_timed_in_turns() -> None:
    step, images = build(make("sid-streamed"))
    order: list[int] = []

    def read(network: Any, batch: Tensor) -> Any:
        assert not network.training
        order.append(len(network.local_modules))
        return network.logits_by_module(batch)

    plain = dataclasses.replace(plain_step(step, images), logits_by_module=read)
    own = dataclasses.replace(step, logits_by_module=read)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bench.measure.inference.plain_step", lambda *_: plain)
        sample = sample_inference(own, images, 0.01, loops=1)
    assert sample.loops == 1
    assert len(sample.blocks_seconds) >= 10
    timed = order[sample.warm_up_steps :]
    assert len(timed) == 4 * len(sample.blocks_seconds)
    blocks = [tuple(timed[start : start + 4]) for start in range(0, len(timed), 4)]
    assert blocks == [(3, 1, 1, 3), (1, 3, 3, 1)] * (len(blocks) // 2)
    assert all(seconds > 0 for block in sample.blocks_seconds for seconds in block)


BYTES = PredictionBytes(
    peak_activation_bytes=7, peak_total_bytes=30, plain_peak_activation_bytes=5, plain_peak_total_bytes=20
)


def made_sample(ratio: float, blocks: int = 20) -> Sample:
    return Sample(blocks_seconds=[(0.01 * ratio, 0.01, 0.01, 0.01 * ratio)] * blocks, loops=3, warm_up_steps=8)


def test_the_summary_keeps_the_blocks_of_every_process() -> None:
    samples = [made_sample(1.2), made_sample(1.5, 10), made_sample(1.3)]
    found = summarise_predictions(BYTES, samples, 64)
    assert (found.peak_activation_bytes, found.peak_total_bytes) == (7, 30)
    assert (found.plain_peak_activation_bytes, found.plain_peak_total_bytes) == (5, 20)
    assert found.blocks_by_process == [20, 10, 20]
    assert len(found.blocks_seconds) == 50
    assert found.ratio_to_plain == pytest.approx((1.2 * 1.5 * 1.3) ** (1 / 3))
    assert found.ratio_ci95[0] < 1.3 < found.ratio_ci95[1]
    assert found.plain_median_seconds == pytest.approx(0.01)
    assert found.samples_per_second == pytest.approx(64 / found.median_seconds)
    assert (found.loops, found.warm_up_predictions) == (3, 24)
    assert [round(process.median_seconds, 6) for process in found.processes or ()] == [0.012, 0.015, 0.013]


def test_a_network_that_is_not_compared_with_another_should_have_a_ratio_of_1() -> None:
    found = summarise_predictions(BYTES, [made_sample(1.5)], 64, is_plain=True)
    assert "the plain network compared with itself has a ratio of" in str(found.noisy_because)
    assert summarise_predictions(BYTES, [made_sample(1.5)], 64).noisy_because is None


def test_the_pass_is_not_run_unless_it_is_asked_for() -> None:
    assert make_cell({}).passes == DEFAULT_PASSES == ("memory", "latency", "accuracy")
    asked = make_cell({"passes": ["inference", "memory"]})
    assert asked.passes == ("memory", "inference")
    assert asked.id != make_cell({"passes": ["memory"]}).id


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"compile": True}, "compile = True has no pass inference, whose instrument"),
        (
            {"method": "sid-pipelined", "network": "pipeline-conv", "modules": 5, "ranks": 2},
            "passes = inference for ranks = 2; legal: memory, latency",
        ),
    ],
)
def test_what_the_pass_does_not_take_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_cell({"passes": ["inference"], "dataset": "random", **axes})


@pytest.mark.long
def test_a_sweep_stores_the_pass_and_its_report_shows_it(measuring_cli: RunCli, tmp_path: Path) -> None:
    out, page = tmp_path / "out.jsonl", tmp_path / "page.html"
    axes = ["network=pipeline-conv", "modules=3", "batch_size=1", "image_size=8", "method=sid-streamed", "threads=1"]
    asked = ["passes=inference", "latency_seconds=0.05", "hidden=16"]
    chosen = [part for axis in (*axes, *asked) for part in ("--set", axis)]
    ended = measuring_cli("run", *chosen, "--out", out)
    assert ended.exit_code == 0, ended.stderr
    (record,) = read_records(out).records
    assert record.status == "ok"
    assert record.memory is record.latency is record.accuracy is None
    found = record.inference
    assert found is not None
    assert found.peak_total_bytes == measure_inference_memory(*build(record.cell)).peak_total_bytes
    assert found.peak_total_bytes > found.plain_peak_total_bytes
    write_report([out], page)
    shown = page.read_text(encoding="utf-8")
    assert "Predictions compared with those of the plain network" in shown
    assert f"{found.peak_total_bytes:,}" in shown
