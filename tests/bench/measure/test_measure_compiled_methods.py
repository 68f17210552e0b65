"""BP compiled under a budget, and SID streamed compiled: gradients, numbers of graphs, bytes and compile times."""

import copy
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from record_builder import make_record
from torch import Tensor, nn

from bench.analysis.frame import records_frame
from bench.analysis.statistics.comparison import Exact, NotMeasured
from bench.analysis.statistics.costs import activation_bytes, compare_bytes, total_bytes
from bench.analysis.statistics.pairing import Entry
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.sweep import load_sweep
from bench.errors import BenchError, ConfigError
from bench.execute.messages import Limits, Request
from bench.execute.worker import handle
from bench.measure.memory.compiled import measure_compiled_memory, peak_without
from bench.measure.memory.predict import predict_memory
from bench.measure.trace.recorder import trace_step
from bench.report.tables.costs import cost_table
from bench.store.measurements.memory import Memory
from bench.store.record import Record
from bench.train.rules import bp_compiled
from bench.train.step import TrainingStep, build_step
from sid_core import BeliefNetwork, Pipeline, cascade, linear_trunk, published_step, streamed_step
from sid_core.steps import compiled
from sid_core.steps.compiled import forget_compiled

Graphs = list[torch.fx.GraphModule]
METHODS = ("bp-budget", "sid-streamed-compiled")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """Collect the compiled graphs, with a backend that needs no compiler."""
    from torch._dynamo import config as dynamo

    found: Graphs = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
        found.append(graph)
        return graph.forward

    caches = (compiled._compiled_call, bp_compiled._compiled)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(torch._inductor, "compile", backend)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(torch._dynamo, "lookup_backend", lambda _name: backend)
    forget_compiled()
    with dynamo.patch(recompile_limit=64, fail_on_recompile_limit_hit=True):
        yield found
    forget_compiled()
    for cache in caches:
        cache.cache_clear()


def network_of(modules: int, **options: Any) -> tuple[BeliefNetwork, Tensor, Tensor]:
    torch.manual_seed(modules)
    network = cascade(modules, 3, 1, 6, 5, trunk=linear_trunk(9, 6), **options)
    return network.double(), torch.randn(7, 1, 3, 3).double(), torch.randint(3, (7,))


def assert_gradients_of_published(network: BeliefNetwork, images: Tensor, labels: Tensor, **options: Any) -> None:
    expected = copy.deepcopy(network)
    for _ in range(2):  # the second step adds to the gradients of the first
        loss = streamed_step(network, images, labels, compiled=True, **options)
        torch.testing.assert_close(loss, published_step(expected, images, labels, **options), rtol=1e-12, atol=1e-12)
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        assert (parameter.grad is None) == (twin.grad is None or not parameter.requires_grad)
        if parameter.grad is not None and twin.grad is not None:
            scale = float(twin.grad.abs().max())
            assert float((parameter.grad - twin.grad).abs().max()) <= 1e-12 * scale


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("depth", [3, 6])
def test_compiled_modules_give_the_gradients_of_published(
    direction: Any, reduction: Any, depth: int, graphs: Graphs
) -> None:
    network, images, labels = network_of(3, depth=depth)
    options = {"alpha": (0.2, 0.7, 1.0), "direction": direction, "reduction": reduction}
    assert_gradients_of_published(network, images, labels, **options)
    assert len(graphs) == 1  # of a module; the trunk is one product


@pytest.mark.parametrize(
    ("layers", "compiled"),
    [
        ([nn.Flatten(), nn.Linear(9, 6)], False),
        ([nn.Sequential(nn.Flatten()), nn.Identity()], False),
        ([nn.Flatten(), nn.Linear(9, 6), nn.ReLU()], True),
        ([nn.Flatten(), nn.Linear(9, 5), nn.Linear(5, 6)], True),
    ],
)
def test_a_trunk_is_compiled_where_operators_can_be_fused(
    layers: list[nn.Module], compiled: bool, graphs: Graphs
) -> None:
    network, images, labels = network_of(2)
    network.trunk = nn.Sequential(*layers).double()
    features = int(network.trunk(images).shape[1])
    network.local_modules = cascade(2, 3, 1, features, 5, trunk=nn.Identity()).double().local_modules
    assert_gradients_of_published(network, images, labels, alpha=0.4)
    assert len(graphs) == 1 + compiled


@pytest.mark.parametrize("modules", [1, 2, 9])
def test_all_modules_of_one_shape_share_a_graph(modules: int, graphs: Graphs) -> None:
    network, images, labels = network_of(modules)
    assert_gradients_of_published(network, images, labels, alpha=[0.9 / (1 + index) for index in range(modules)])
    assert len(graphs) == 1


def test_parameters_that_do_not_learn_have_no_gradient(graphs: Graphs) -> None:
    network, images, labels = network_of(3)
    network.trunk.requires_grad_(False)
    next(network.local_modules[1].parameters()).requires_grad_(False)
    assert_gradients_of_published(network, images, labels, alpha=0.4)
    assert graphs


def test_stages_of_a_pipeline_are_compiled_and_stay_as_they_are(graphs: Graphs) -> None:
    torch.manual_seed(0)
    stages = [
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(3)),
    ]
    network = Pipeline.with_heads(stages, [4] * 4, 3, 5).double()
    expected = copy.deepcopy(network)
    images, labels = torch.randn(6, 1, 4, 4).double(), torch.arange(6) % 3
    loss = streamed_step(network, images, labels, 0.4, compiled=True)
    torch.testing.assert_close(loss, streamed_step(expected, images, labels, 0.4))
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-12, atol=1e-14)
    for buffer, twin in zip(network.buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(buffer, twin)
    convolutions = [graph for graph in graphs if "conv2d" in str(graph.code)]
    assert len(convolutions) == 2  # the three equal stages share one
    assert all(module._compiled_call_impl is None for module in network.modules())


def test_a_compiled_module_can_be_updated_as_soon_as_it_has_run(graphs: Graphs) -> None:
    network, images, labels = network_of(3)
    expected = copy.deepcopy(network)
    for one, is_compiled in ((network, True), (expected, False)):
        optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in one.local_modules]
        streamed_step(one, images, labels, 0.4, compiled=is_compiled, optimizers=optimizers)
    assert graphs
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-12, atol=1e-14)


@pytest.mark.long
def test_each_budget_is_compiled_for_itself(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._functorch import config

    budgets: list[float] = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
        budgets.append(config.activation_memory_budget)
        return graph.forward

    monkeypatch.setattr(torch._dynamo, "lookup_backend", lambda _name: backend)
    network, images, labels = network_of(3)
    expected = copy.deepcopy(network)
    F.cross_entropy(expected(images), labels).backward()
    for budget in (0.5, 1.0, 0.5, 0.0):
        network.zero_grad()
        bp_compiled.train_within_budget(network, images, labels, None, activation_memory_budget=budget)
        for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-12, atol=1e-14)
    assert budgets == [0.5, 1.0, 0.0]
    assert config.activation_memory_budget == 1.0
    assert not graphs


def a_cell(method: str, **axes: Any) -> Cell:
    sizes = {"depth": 3, "width": 9, "hidden": 7, "batch_size": 8, "image_size": 4, "classes": 3, "threads": 1}
    return make_cell({"method": method, "dataset": "random", "passes": ["latency"], **sizes, **axes})


def built(cell: Cell) -> tuple[TrainingStep, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, 1, 4, 4, generator=generator)
    return build_step(cell, (1, 4, 4), 3), images, torch.randint(3, (8,), generator=generator)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.long
def test_a_step_gives_the_results_of_the_eager_rule(method: str, precision: str, graphs: Graphs) -> None:
    step, images, labels = built(a_cell(method, precision=precision))
    eager, *_ = built(a_cell({"bp-budget": "bp"}.get(method, "sid-streamed"), precision=precision))
    for _ in range(3):
        assert float(step(images, labels)) == pytest.approx(float(eager(images, labels)), rel=1e-2)
    assert graphs
    assert (step.is_compiled, step.baseline().is_compiled, eager.is_compiled) == (True, False, False)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_traced_without_compilation(method: str, graphs: Graphs) -> None:
    step, images, labels = built(a_cell(method))
    step(images, labels)
    known = len(graphs)
    with step.timed():
        trace = trace_step(step, images, labels)
        with pytest.raises(RuntimeError, match=r"fail_on_recompile|no graph of a module for a batch of shape"):
            step(images[:3], labels[:3])
    assert len(graphs) == known
    assert trace is not None
    assert set(trace.phase) == set("fbs")


@pytest.mark.long
def test_the_first_process_measures_the_time_to_compile(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.execute.worker.flush_denormals", lambda: None)  # meant for a separate process
    cells = tuple(a_cell(name, latency_seconds=0.01) for name in ("bp", "sid-streamed", *METHODS))
    for process in (0, 1):
        answer = handle(Request(task="time", cells=cells, limits=Limits(timeout_seconds=60), process=process))
        samples = [member.latency_sample for member in answer.members or ()]
        times = [None if sample is None else sample.compile_seconds for sample in samples]
        assert times[:2] == [None, None]
        assert all((seconds is None) == bool(process) for seconds in times[2:])
    assert graphs


def test_bytes_are_those_of_the_allocator_and_bps_by_the_same_instrument(graphs: Graphs) -> None:
    memories: dict[str, Memory] = {}
    for method in METHODS:
        step, images, labels = built(a_cell(method, depth=24, passes=["memory"]))
        memories[method] = memory = measure_compiled_memory(step, images, labels)
        assert (memory.instrument, memory.allocator, memory.timeline, memory.at_peak) == ("allocator", None, None, None)
        assert memory.gradient_bytes == memory.parameter_bytes
        assert memory.bp_peak_activation_bytes is not None
        persistent = memory.peak_total_bytes - memory.peak_activation_bytes
        assert memory.bp_peak_total_bytes == memory.bp_peak_activation_bytes + persistent
    assert graphs
    bp, sid = (memories[method] for method in METHODS)
    # A graph that runs as it is holds what eager BP holds.
    assert bp.peak_activation_bytes == pytest.approx(bp.bp_peak_activation_bytes, rel=0.05)
    assert sid.peak_activation_bytes < bp.peak_activation_bytes / 2


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=12), st.sets(st.integers(1, 3)))
def test_a_peak_leaves_out_what_stays(allocated: list[tuple[int, int]], stays: set[int]) -> None:
    """Each address is freed before it is used again; the last allocation at an address that stays is never freed."""
    events: list[tuple[int, int]] = []
    held: dict[int, int] = {}
    for address, size in allocated:
        if address in held:
            events.append((address, -held.pop(address)))
        events.append((address, size))
        held[address] = size
    last = {address: index for index, (address, size) in enumerate(events) if size > 0}
    live, expected = 0, 0
    for index, (address, size) in enumerate(events):
        if not (address in stays and index == last[address]):
            live += size
            expected = max(expected, live)
    assert peak_without(events, stays.__contains__) == expected


def by_allocator(record: Record, of_bp: int) -> Record:
    assert record.memory is not None
    update = {"instrument": "allocator", "bp_peak_activation_bytes": of_bp, "bp_peak_total_bytes": 2 * of_bp}
    parts = {"allocator": None, "at_peak": None, "timeline": None}
    return record.model_copy(update={"memory": record.memory.model_copy(update=update | parts)})


def test_ratios_of_bytes_are_to_bps_by_the_same_instrument_and_say_so() -> None:
    bp, sid = make_record({"method": "bp"}, memory=1000), make_record({"method": "sid-streamed"}, memory=500)
    own = by_allocator(make_record({"method": "sid-streamed-compiled"}, memory=300), of_bp=1200)
    frame = records_frame([bp, sid, own])
    assert list(frame["memory.activation_ratio"]) == [1.0, 0.5, 0.25]
    table = cost_table(frame).set_index("method")
    assert table.loc["sid-streamed-compiled", "activations / BP"] == "0.250 (allocator)"
    assert table.loc["sid-streamed-compiled", "peak activation bytes"] == "300 (allocator)"
    assert table.loc["sid-streamed", "activations / BP"] == "0.500"


def test_claims_compare_bytes_of_one_instrument_only() -> None:
    bp, sid = make_record({"method": "bp"}, memory=1000), make_record({"method": "sid-streamed"}, memory=500)
    own = by_allocator(make_record({"method": "sid-streamed-compiled"}, memory=300), of_bp=1200)

    def compare(first: Record, second: Record, read: Any = activation_bytes) -> object:
        return compare_bytes(read, [Entry(first, {})], [Entry(second, {})])

    assert compare(sid, bp) == Exact(500, 1000)
    assert compare(own, bp) == Exact(300, 1200)
    assert compare(bp, own, total_bytes) == Exact(2400, 600)
    assert isinstance(compare(own, sid), NotMeasured)


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_method_says_what_it_does_not_take(method: str) -> None:
    for axes, message in (
        ({"compile": True}, f"compile = True for method '{method}', which compiles its step itself; legal: False"),
        ({"recompute": "modules"}, f"recompute = 'modules' for method '{method}'; legal: none"),
        ({"device": "cuda", "passes": ["memory"]}, f"method '{method}' has no pass memory for device = 'cuda'"),
    ):
        with pytest.raises(ConfigError, match=message):
            a_cell(method, **axes)
    with pytest.raises(BenchError, match="can be measured, but not planned: what compiled code allocates"):
        predict_memory(a_cell(method), (1, 4, 4), 3)
    sweep = load_sweep(None, ["depth=2"])
    assert not any(load_method(cell.method).compiles for cell in sweep.cells)
    assert any(name == method and "legal: --set method=" in why for name, why in sweep.left_out)


def test_only_bp_budget_has_a_budget_and_1_is_its_default() -> None:
    assert a_cell("bp", activation_memory_budget=0.2) == a_cell("bp")
    assert a_cell("bp-budget", activation_memory_budget=1) == a_cell("bp-budget")
    assert a_cell("bp-budget", activation_memory_budget=0.2).id != a_cell("bp-budget").id
    for value in (-0.1, 1.5, "half"):
        with pytest.raises(ConfigError, match=r"activation_memory_budget = .*; legal: a number in \[0, 1\]"):
            a_cell("bp-budget", activation_memory_budget=value)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_smaller_budgets_need_fewer_bytes_with_the_real_compiler() -> None:
    peaks = []
    for budget in (0.0, 1.0):
        cell = a_cell("bp-budget", activation_memory_budget=budget, depth=12, hidden=128, passes=["memory"])
        step, images, labels = built(cell)
        peaks.append(measure_compiled_memory(step, images, labels).peak_activation_bytes)
    assert peaks[0] < peaks[1]
