"""What holds for every method that is a peer of SID and BP."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method, method_names, peer_names
from bench.config.networks import load_network
from bench.errors import ConfigError
from bench.measure.accuracy import measure_accuracy
from bench.measure.inference import measure_inference_bytes
from bench.measure.latency.measure import measure_latency
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.measure.trace.recorder import trace_step
from bench.plan.grid import shape_of
from bench.report.figures.theme import LEAST_CONTRAST, contrast
from bench.train.datasets.splits import load_splits
from bench.train.step import build_step

NETWORKS = ["cascade-linear", "cascade-conv", "pipeline-conv", "pipeline-linear"]


RULES = peer_names()


def cells_of(method: str, **axes: Any) -> Iterator[Cell]:
    """A small cell on each network that the method takes."""
    for network in NETWORKS:
        depth = {} if load_network(network).units else {"depth": 3}
        sizes = {"modules": 3, "hidden": 6, "width": 12, "batch_size": 6, "dataset": "random", "image_size": 8}
        values = {"method": method, "network": network, **sizes, **depth, "passes": ["memory"], **axes}
        with suppress(ConfigError):
            yield make_cell(values)


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("axes", [{}, {"optimizer": "sgd"}, {"precision": "bfloat16"}], ids=str)
@pytest.mark.long
def test_a_peer_is_planned_to_the_byte(method: str, axes: dict[str, Any]) -> None:
    if load_method(method).not_planned is not None:
        pytest.skip("its row says why it cannot be planned")
    cells = list(cells_of(method, **axes))
    assert cells
    for cell in cells:
        shape, classes = shape_of(cell)
        images, labels = torch.randn(6, *shape), torch.randint(classes, (6,))
        measured = measure_memory(build_step(cell, shape, classes), images, labels, ask_allocator=False)
        # A timeline has points counted in operators, of which a constant may need one more or one fewer.
        left_out = {"allocator", "timeline"}
        planned = predict_memory(cell, shape, classes)
        assert planned.model_dump(exclude=left_out) == measured.model_dump(exclude=left_out), cell.network


@pytest.mark.parametrize("method", RULES)
@pytest.mark.long
def test_a_peer_learns_and_runs_every_pass(method: str) -> None:
    cell = next(cells_of(method, dataset="digits", image_size=None, batch_size=32, train_samples=150, epochs=4))
    data = load_splits(cell, None)

    def step() -> Any:
        return build_step(cell, data.shape, data.classes, samples=len(data.train), scale=data.scale)

    accuracy = measure_accuracy(cell, step(), data)
    first, *_, last = accuracy.epochs
    assert first.train_loss is not None
    assert last.train_loss is not None
    assert last.train_loss < first.train_loss
    images, labels = data.train.images[:8], data.train.labels[:8]
    prediction = measure_inference_bytes(step(), images)
    assert prediction.peak_activation_bytes > 0
    measured = step()
    latency = measure_latency(measured, measured.baseline(), images, labels, 0.01)
    assert latency.ratio_to_bp > 0
    trace = trace_step(measured, images, labels)
    assert trace is not None
    assert {"f", "s"} <= set(trace.phase)


def test_every_method_has_its_own_place_and_a_colour_that_can_be_seen() -> None:
    methods = [load_method(name) for name in method_names()]
    methods = [method for method in methods if method.source == "sid-bench"]
    colours = [method.colour for method in methods]
    assert len(set(colours)) == len(colours)
    assert len({method.order for method in methods}) == len(methods)
    assert all(colour is not None and contrast(colour, "#ffffff") >= LEAST_CONTRAST for colour in colours)


def test_every_file_of_peers_is_found() -> None:
    assert {"dgl", "sid-target"} <= set(RULES) <= set(method_names())
