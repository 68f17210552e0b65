"""Compiled cells: equal results for every rule, and no compilation while steps are timed."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from cells import methods_taking
from torch import Tensor

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.execute.messages import Limits, Request
from bench.execute.worker import handle
from bench.measure.latency.measure import measure_latency
from bench.measure.trace.recorder import trace_step
from bench.train.compiled import require_compiler
from bench.train.step import TrainingStep, build_step
from sid_core.steps.closed_form import has_closed_form

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


COMPILED = make_cell({"compile": True, "passes": ["latency"]})
METHODS = methods_taking(COMPILED)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.fx.GraphModule]]:
    """Collect the compiled graphs, with a backend that needs no compiler."""
    from torch._dynamo import config as dynamo

    found: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    with dynamo.patch(recompile_limit=8, fail_on_recompile_limit_hit=False):  # restores both at the end
        yield found
    torch._dynamo.reset()


def build(method: str, *, compiled: bool, precision: str = "float32") -> tuple[TrainingStep, Tensor, Tensor]:
    sizes = {"depth": 4, "modules": 2, "width": 9, "hidden": 7, "batch_size": 8}
    cell = make_cell(
        {"method": method, "dataset": "random", "passes": ["latency"], **sizes}
        | {"compile": compiled, "precision": precision}
    )
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 1, 4, 4, generator=generator), torch.randint(3, (8,), generator=generator)
    return build_step(cell, (1, 4, 4), 3), images, labels


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        *((method, "float32") for method in METHODS),
        *(
            pytest.param(method, "bfloat16", marks=[] if method in ("bp", "sid-streamed") else pytest.mark.slow)
            for method in METHODS
        ),
    ],
)
@pytest.mark.long
def test_a_compiled_step_gives_the_same_results(
    method: str, precision: str, graphs: list[torch.fx.GraphModule]
) -> None:
    plain, images, labels = build(method, compiled=False, precision=precision)
    compiled, *_ = build(method, compiled=True, precision=precision)
    for _ in range(3):
        assert float(compiled(images, labels)) == pytest.approx(float(plain(images, labels)), rel=1e-3)
    assert len(graphs) >= 2  # of the trunk and of a module


def test_a_compiled_module_does_not_use_the_closed_form(graphs: list[torch.fx.GraphModule]) -> None:
    step, images, labels = build("sid-streamed", compiled=True)
    assert not any(map(has_closed_form, step.network.local_modules))
    step(images, labels)
    assert any("relu" in str(graph.code) for graph in graphs)


def test_compilation_while_steps_are_timed_is_an_error(graphs: list[torch.fx.GraphModule]) -> None:
    step, images, labels = build("sid-streamed", compiled=True)
    step(images, labels)
    known = len(graphs)
    with step.timed():
        step(images, labels)
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            step(images[:3], labels[:3])
    step(images[:3], labels[:3])
    assert len(graphs) > known


@pytest.mark.long
def test_both_steps_of_a_latency_are_compiled_before_the_first_block(graphs: list[torch.fx.GraphModule]) -> None:
    step, images, labels = build("sid-published", compiled=True)
    entered: list[int] = []

    @contextmanager
    def timed() -> Iterator[None]:
        entered.append(len(graphs))
        with step.timed():
            yield

    latency = measure_latency(step, step.baseline(), images, labels, seconds=0.001, timed=timed)
    assert entered == [len(graphs)] * 2  # for the blocks, and for the times of the phases
    assert step.baseline().is_compiled
    assert len(latency.blocks_seconds) >= 10
    assert graphs


@pytest.mark.parametrize("method", ["bp", "sid-streamed", "deep-supervision"])
@pytest.mark.long
def test_a_compiled_step_is_traced_without_recompilation(method: str, graphs: list[torch.fx.GraphModule]) -> None:
    step, images, labels = build(method, compiled=True)
    step(images, labels)
    known = len(graphs)
    with step.timed():  # tracing must not cause compilation
        trace = trace_step(step, images, labels)
    assert len(graphs) == known
    assert trace is not None
    assert set(trace.module) == {None, 1, 2}
    assert set(trace.phase) == set("fbs")


@pytest.fixture
def no_compiler() -> Iterator[None]:
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        yield


@pytest.mark.usefixtures("no_compiler")
def test_a_missing_compiler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"compile = True needs a C\+\+ compiler.*; legal: False"):
        require_compiler(COMPILED)
    with pytest.raises(ConfigError, match=r"method 'bp-budget' needs a C\+\+ compiler.*; legal: other methods"):
        require_compiler(make_cell({"method": "bp-budget"}))
    monkeypatch.setattr("bench.execute.worker.flush_denormals", lambda: None)  # meant for a separate process
    answer = handle(Request(task="check", cells=(COMPILED,), limits=Limits(timeout_seconds=60)))
    assert (answer.status, answer.final) == ("crashed", True)
    assert "compile = True needs a C++ compiler" in str(answer.message)


@needs_compiler
def test_an_installed_compiler_is_accepted() -> None:
    require_compiler(COMPILED)  # raises nothing


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_a_step_with_the_real_compiler(method: str) -> None:
    plain, images, labels = build(method, compiled=False)
    compiled, *_ = build(method, compiled=True)
    for _ in range(3):
        assert float(compiled(images, labels)) == pytest.approx(float(plain(images, labels)), rel=1e-4)
