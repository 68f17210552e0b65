"""BP as a backbone is usually trained, and BP whose activations wait on the host."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cells import run_method
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import BenchError, ConfigError
from bench.measure.accuracy import measure_accuracy
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import baseline_of, memory_cells, shape_of
from bench.plan.tasks import Failure, predict
from bench.train.datasets.splits import load_splits
from bench.train.networks.build import build_network
from bench.train.step import build_step
from sid_core import BeliefNetwork
from sid_core.pipeline import pool


def plain(**axes: Any) -> Cell:
    sizes = {"network": "pipeline-conv", "modules": 3, "hidden": 16, "batch_size": 6, "passes": ["memory"]}
    return make_cell({"method": "bp-plain", "dataset": "random", "image_size": 8, **sizes, **axes})


def build(cell: Cell) -> tuple[BeliefNetwork, Tensor, Tensor]:
    network = build_network(cell, *shape_of(cell))
    return network, torch.randn(6, 1, 8, 8), torch.arange(6)


def test_bp_plain_is_the_backbone_with_its_last_head() -> None:
    network, images, labels = build(plain())
    expected, *_ = build(plain())
    features = images
    for module in expected.local_modules:
        features = module.stage(features)  # type: ignore[operator]
    logits = expected.local_modules[-1].head(torch.full((6, 10), 0.1), pool(features))  # type: ignore[operator]
    expected_loss = F.cross_entropy(logits, labels)
    expected_loss.backward()
    loss = run_method("bp-plain", network, images, labels, None)
    assert torch.equal(loss, expected_loss.detach())
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        assert parameter.grad is twin.grad is None or torch.equal(parameter.grad, twin.grad)  # type: ignore[arg-type]
    *others, last = network.local_modules
    assert all(parameter.grad is None for module in others for parameter in module.head.parameters())  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in last.parameters())


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bp_plain_is_planned_to_the_byte_and_holds_less_than_bp(precision: str) -> None:
    def memory(method: str) -> dict[str, Any]:
        of = plain(method=method, precision=precision)
        measured = measure_memory(build_step(of, *shape_of(of)), torch.randn(6, 1, 8, 8), torch.arange(6))
        found = measured.model_dump(exclude={"allocator", "timeline"})
        assert found == predict_memory(of, *shape_of(of)).model_dump(exclude={"allocator", "timeline"})
        return found

    own, of_bp = memory("bp-plain"), memory("bp")
    assert own["parameter_bytes"] == of_bp["parameter_bytes"]
    for name in ("gradient_bytes", "optimizer_bytes", "peak_activation_bytes"):
        assert own[name] < of_bp[name]


def test_only_the_module_that_bp_plain_trains_has_an_accuracy() -> None:
    axes = {"dataset": "digits", "train_samples": 60, "epochs": 2, "batch_size": 20, "passes": ["accuracy"]}
    cell = plain(image_size=None, **axes)
    data = load_splits(cell, None)
    step = build_step(cell, data.shape, data.classes)
    accuracy = measure_accuracy(cell, step, data)
    with torch.no_grad():
        logits = list(step.logits_by_module(step.network, data.test.images))[-1]
    assert logits is not None
    share = float((logits.argmax(1) == data.test.labels).double().mean())
    assert accuracy.test_by_module == [None, None, pytest.approx(share, abs=1e-12)]
    assert accuracy.kl_by_module == [
        None,
        None,
        pytest.approx(float(F.cross_entropy(logits.double(), data.test.labels)), rel=1e-6),
    ]
    assert accuracy.test_last == accuracy.test_by_module[-1]
    assert not accuracy.diverged


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            {"method": "bp-plain"},
            "network = 'cascade-linear' for method 'bp-plain', a cascade; legal: pipeline",
        ),
        (
            {"method": "bp-plain", "network": "pipeline-conv", "compile": True},
            "compile = True for method 'bp-plain', which runs stages without their heads; legal: False",
        ),
        ({"method": "bp-offload"}, "device = 'cpu' for method 'bp-offload'; legal: cuda or cuda:N"),
        ({"method": "bp-offload", "device": "cuda", "compile": True}, "compile = True for method 'bp-offload'"),
        (
            {"method": "sid-streamed-recompute", "network": "pipeline-conv"},
            "recompute = 'trunk' for network pipeline-conv, which has none; legal: none, modules, selective",
        ),
        (
            {"method": "bp-checkpoint", "network": "pipeline-conv", "compile": True},
            "compile = True for recompute = 'modules', which calls parts of it; legal: False",
        ),
        ({"method": "bp-checkpoint-trunk", "compile": True}, "compile = True for recompute = 'all'"),
        ({"method": "sid-streamed-recompute", "compile": True}, "compile = True for recompute = 'trunk'"),
        (
            {"method": "sid-vectorised", "recompute": "all"},
            "recompute = 'all' for method 'sid-vectorised'; legal: none, trunk",
        ),
        ({"method": "sid-streamed-in-turn", "micro_batches": 2}, "micro_batches = 2 for method 'sid-streamed-in-turn'"),
        ({"method": "bp-step-in-backward", "micro_batches": 2}, "micro_batches = 2 for method 'bp-step-in-backward'"),
        ({"method": "bp-selective", "compile": True}, "compile = True for recompute = 'selective'"),
    ],
)
def test_what_a_method_does_not_take_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_cell({"passes": ["latency"], **axes})


def test_offloaded_bp_gives_bps_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the host for a device, and without pinned memory, which needs CUDA."""
    save_on_cpu, calls = torch.autograd.graph.save_on_cpu, []

    def save_unpinned(pin_memory: bool) -> Any:
        calls.append(pin_memory)
        return save_on_cpu(pin_memory=False)

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", save_unpinned)
    network, images, labels = build(plain())
    expected, *_ = build(plain())
    for method, of in (("bp-offload", network), ("bp", expected)):
        run_method(method, of, images, labels, None)
    assert calls == [True]
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(parameter.grad, twin.grad)  # type: ignore[arg-type]


def test_offloaded_bp_is_not_planned_and_says_why() -> None:
    (cell,) = memory_cells([make_cell({"method": "bp-offload", "device": "cuda", "seed": 3})])
    assert baseline_of(cell) == memory_cells([make_cell({})])[0]
    with pytest.raises(BenchError, match="method 'bp-offload' can be measured, but not planned: it moves bytes"):
        predict_memory(cell, *shape_of(cell))
    assert isinstance(predict(cell, 1), Failure)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_offloaded_bp_holds_less_on_the_device() -> None:
    def peak(method: str) -> int:
        cell = make_cell({"method": method, "device": "cuda", "dataset": "random", "depth": 32, "passes": ["memory"]})
        images, labels = torch.randn(128, 1, 28, 28, device="cuda"), torch.arange(128, device="cuda") % 10
        return measure_memory(build_step(cell, (1, 28, 28), 10), images, labels).peak_activation_bytes

    assert peak("bp-offload") < peak("bp") / 2
