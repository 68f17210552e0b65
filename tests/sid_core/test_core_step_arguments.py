"""The objective of a step: checked when it is built, and given as one argument or as keywords."""

import copy
import re
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from sid_core import Cascade, Objective, cascade, linear_trunk, published_step, streamed_step, vectorised_step

STEPS = [published_step, streamed_step, partial(streamed_step, closed_form=False), vectorised_step]
each_step = pytest.mark.parametrize("step", STEPS)


def small_network() -> tuple[Cascade, Tensor, Tensor]:
    torch.manual_seed(2)
    network = cascade(3, 4, 1, 5, 6, trunk=linear_trunk(9, 5)).double()
    return network, torch.randn(7, 1, 3, 3).double(), torch.randint(4, (7,))


def gradients_after(step: Any, *objective: Any, **options: Any) -> tuple[Tensor, list[Tensor]]:
    """The loss and the gradients of one step from fixed weights."""
    network, images, labels = small_network()
    loss = step(network, images, labels, *objective, **options)
    return loss, [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


@each_step
@pytest.mark.parametrize(
    "fields",
    [
        {"alpha": 0.3},
        {"alpha": (0.2, 0.5, 1.0), "direction": "reverse", "smoothing": 0.3},
        {"alpha": torch.tensor([0.2, 0.5, 1.0]), "reduction": "mean"},
    ],
    ids=repr,
)
def test_an_objective_and_its_fields_as_keywords_give_the_same_step(step: Any, fields: dict[str, Any]) -> None:
    others = {name: value for name, value in fields.items() if name != "alpha"}
    loss, gradients = gradients_after(step, Objective(**fields))
    for objective, options in (((), fields), ((fields["alpha"],), others), ((), {"objective": Objective(**fields)})):
        same_loss, same_gradients = gradients_after(step, *objective, **options)
        assert torch.equal(loss, same_loss)
        assert len(same_gradients) == len(gradients) == 14
        assert all(map(torch.equal, gradients, same_gradients))


@each_step
def test_each_field_of_an_objective_changes_the_step(step: Any) -> None:
    base = Objective(0.4, "reverse", 0.2, "sum")
    loss, _ = gradients_after(step, base)
    for other in (
        Objective(0.5, "reverse", 0.2, "sum"),
        Objective(0.4, "forward", 0.2, "sum"),
        Objective(0.4, "reverse", 0.3, "sum"),
        Objective(0.4, "reverse", 0.2, "mean"),
    ):
        assert float(gradients_after(step, other)[0]) != pytest.approx(float(loss), rel=1e-3)


@each_step
@pytest.mark.parametrize("options", [{"direction": "forward"}, {"smoothing": 0.1}, {"reduction": "sum"}], ids=repr)
def test_a_keyword_next_to_an_objective_is_refused(step: Any, options: dict[str, Any]) -> None:
    ((field, value),) = options.items()
    with pytest.raises(ValueError, match=re.escape(f"{field} = {value!r} next to an Objective; legal: an Objective")):
        step(*small_network(), Objective(0.5), **options)


@each_step
@pytest.mark.parametrize(
    ("objective", "options"),
    [((), {}), ((0.5,), {"alpha": 0.5}), ((0.5,), {"beta": 1}), ((), {"direction": "reverse"})],
)
def test_missing_repeated_or_unknown_arguments_are_a_type_error(
    step: Any, objective: Any, options: dict[str, Any]
) -> None:
    network, images, labels = small_network()
    with pytest.raises(TypeError, match=r"alpha|beta"):
        step(network, images, labels, *objective, **options)
    assert all(parameter.grad is None for parameter in network.parameters())


@each_step
def test_an_objective_with_too_few_alphas_is_refused_before_the_trunk_runs(step: Any) -> None:
    network, images, labels = small_network()
    network.trunk.register_forward_pre_hook(lambda *_: pytest.fail("the trunk was run"))
    with pytest.raises(ValueError, match="alpha has 2 values; legal: one number, or one for each of the 3 modules"):
        step(network, images, labels, Objective([0.5, 0.5]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 0}, "alpha = 0; legal: numbers in (0, 1]"),
        ({"alpha": (0.5, 1.5)}, "alpha = 1.5; legal: numbers in (0, 1]"),
        ({"alpha": torch.tensor([0.5, float("nan")])}, "alpha = nan; legal: numbers in (0, 1]"),
        ({"alpha": "0.5"}, "alpha = '0'; legal: numbers in (0, 1]"),
        ({"alpha": 0.5, "direction": "backward"}, "direction = 'backward'; legal: forward, reverse"),
        ({"alpha": 0.5, "smoothing": 1}, "smoothing = 1; legal: numbers in (0, 1)"),
        ({"alpha": 0.5, "reduction": "max"}, "reduction = 'max'; legal: sum, mean"),
    ],
    ids=repr,
)
def test_an_objective_that_is_not_legal_cannot_be_built(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Objective(**fields)


alphas = st.floats(0, 1, exclude_min=True)
legal_fields = st.fixed_dictionaries(
    {
        "alpha": alphas | st.lists(alphas, min_size=1, max_size=5).map(tuple),
        "direction": st.sampled_from(["forward", "reverse"]),
        "smoothing": st.floats(0, 1, exclude_min=True, exclude_max=True),
        "reduction": st.sampled_from(["sum", "mean"]),
    }
)


@given(legal_fields, legal_fields)
def test_objectives_are_equal_as_their_fields_are(fields: dict[str, Any], others: dict[str, Any]) -> None:
    objective, other = Objective(**fields), Objective(**others)
    assert (objective == other) == (fields == others)
    same = Objective(**copy.deepcopy(fields))
    assert {objective: "found"}[same] == "found"
    expected = fields["alpha"] if isinstance(fields["alpha"], tuple) else (fields["alpha"],) * 3
    assert objective.alphas(len(expected)) == expected
