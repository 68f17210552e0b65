"""AugLocal compared with a slow oracle: every stage trained apart, at a head of the layers that are still to come."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.step import build_step
from sid_core import Pipeline


def a_cell(modules: int, **axes: object) -> Cell:
    return make_cell(
        {"method": "auglocal", "network": "pipeline-conv", "dataset": "random", "image_size": 8, "modules": modules,
         "batch_size": 6, "passes": ["memory"]} | axes
    )  # fmt: skip


def test_its_heads_are_of_the_layers_to_come_unless_the_cell_says_otherwise() -> None:
    assert a_cell(4).head == "aug"
    assert a_cell(4, head="linear").head == "linear"


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5), st.integers(0, 1000))
def test_each_stage_has_the_gradients_of_its_own_loss_on_features_that_are_constants(modules: int, seed: int) -> None:
    cell = a_cell(modules, seed=seed)
    shape, classes = shape_of(cell)
    step = build_step(cell, shape, classes)
    network = step.network.double()
    assert isinstance(network, Pipeline)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, *shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (6,), generator=generator)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    loss = step.rule(network, images, labels, None)
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.load_state_dict(state)
    features, total = images, 0.0
    for number, module in enumerate(network.local_modules):
        features = module.stage(features.detach())
        own = F.cross_entropy(module.run_head(network.initial_belief(features), features), labels)
        total += float(own.detach())
        parameters = dict(module.named_parameters())
        expected = torch.autograd.grad(own, list(parameters.values()), allow_unused=True)
        for (name, _), gradient in zip(parameters.items(), expected, strict=True):
            mine = found[f"local_modules.{number}.{name}"]
            if gradient is None:
                assert mine is None or not mine.any(), name
            else:
                torch.testing.assert_close(mine, gradient, rtol=1e-9, atol=1e-12, msg=name)
    assert abs(float(loss.detach()) - total) < 1e-9


def test_one_stage_is_held_at_a_time() -> None:
    def peak(method: str, modules: int) -> int:
        cell = a_cell(modules, method=method, head="aug", image_size=16, depth=modules, batch_size=32)
        step = build_step(cell, *shape_of(cell))
        shape, classes = shape_of(cell)
        memory = measure_memory(step, torch.randn(32, *shape), torch.arange(32) % classes)
        return memory.peak_activation_bytes

    assert peak("auglocal", 5) < 0.75 * peak("deep-supervision", 5)
