"""The accuracy pass on ranks that are real processes: the weights and the record of one rank."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from rank_job import run_ranks

from bench.config.cell import Cell
from bench.config.check import changed, make_cell
from bench.config.methods import load_method
from bench.errors import BenchError
from bench.measure import accuracy_on_ranks
from bench.measure.accuracy import measure_accuracy
from bench.train.datasets.splits import load_splits
from bench.train.rules import sid_on_ranks
from bench.train.step import TrainingStep, build_step

SIZES: dict[str, Any] = {
    "dataset": "digits",
    "passes": ["accuracy"],
    "train_samples": 128,
    "epochs": 4,
    "batch_size": 32,
    "hidden": 16,
    "threads": 1,
    "noise_rate": 0.4,
    "learning_rate": 0.003,
}
PIPELINE = SIZES | {"method": "sid-pipelined", "network": "pipeline-conv"}
CASCADE = SIZES | {"method": "sid-parallel", "network": "cascade-linear", "depth": 4, "width": 12}
CELLS: dict[str, dict[str, Any]] = {
    "pipeline": PIPELINE,
    "pipeline, another seed": PIPELINE | {"seed": 1},
    "pipeline, cosine": PIPELINE | {"optimizer": "sgd", "learning_rate": 0.02, "noise_kind": "pairflip"},
    "pipeline, bfloat16": PIPELINE | {"precision": "bfloat16", "epochs": 1},
    "pipeline, reverse": PIPELINE | {"direction": "reverse", "epochs": 2},
    "cascade": CASCADE,
    "cascade, cosine": CASCADE | {"optimizer": "sgd", "learning_rate": 0.02, "alpha": "0.9..0.3"},
    "cascade of convolutions": CASCADE | {"network": "cascade-conv", "epochs": 1},
}
EXACT = [name for name in CELLS if name.startswith("pipeline")]


def cell_of(name: str, ranks: int) -> Cell:
    return make_cell(CELLS[name] | {"ranks": ranks})


def trained(cell: Cell) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The record and the last weights of the cell; None on every rank but rank 0."""
    data = load_splits(cell, None)
    found: dict[str, Any] = {}

    def watched(of: Cell, step: TrainingStep, *rest: Any) -> Any:
        accuracy = measure_accuracy(of, step, *rest)
        found.update(step.network.state_dict())
        return accuracy

    if cell.ranks == 1:
        accuracy = watched(cell, build_step(cell, data.shape, data.classes), data)
    else:
        with mock.patch.object(accuracy_on_ranks, "measure_accuracy", watched):
            accuracy = accuracy_on_ranks.measure_accuracy_on_ranks(cell, data, dist.new_group(backend="gloo"))
    return None if accuracy is None else (accuracy.model_dump(), found)


def train_all(_rank: int) -> dict[str, Any]:
    return {name: trained(cell_of(name, dist.get_world_size())) for name in CELLS}


@pytest.fixture(scope="module", params=[2, 3])
def on_ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Record and weights of each cell."""
    first, *others = run_ranks(request.param, train_all, tmp_path_factory.mktemp("accuracy"))
    assert isinstance(first, dict), first
    for other in others:
        assert other == dict.fromkeys(CELLS), other
    return first


@pytest.fixture(scope="module")
def on_one_rank() -> dict[str, Any]:
    """The same by the same rule on one rank."""
    of = {name: cell_of(name, 2) for name in CELLS}
    return {
        name: trained(changed(cell, ranks=1, method=load_method(cell.method).on_one_rank)) for name, cell in of.items()
    }


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.long
def test_a_pipeline_has_the_weights_and_the_record_of_one_rank_bit_for_bit(
    on_ranks: dict[str, Any], on_one_rank: dict[str, Any], name: str
) -> None:
    (record, weights), (expected, expected_weights) = on_ranks[name], on_one_rank[name]
    assert weights.keys() == expected_weights.keys()
    for key, value in expected_weights.items():
        assert torch.equal(weights[key], value), key
    assert record == expected
    assert record["beliefs_last"] is not None
    assert record["wrong_labels_last"]["images"] > 0
    assert record["correct_at_best_validation"] is not None


@pytest.mark.parametrize("name", [name for name in CELLS if name not in EXACT])
def test_a_cascade_has_the_weights_of_one_rank_to_five_digits(
    on_ranks: dict[str, Any], on_one_rank: dict[str, Any], name: str
) -> None:
    (record, weights), (expected, expected_weights) = on_ranks[name], on_one_rank[name]
    assert weights.keys() == expected_weights.keys()
    for key, value in expected_weights.items():
        assert float((weights[key] - value).abs().max()) < 1e-5, key
    assert record["test_last"] == pytest.approx(expected["test_last"], abs=0.01)
    assert record["realised_noise_rate"] == expected["realised_noise_rate"]
    losses = [[epoch["train_loss"] for epoch in one["epochs"]] for one in (record, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_epochs_are_chosen_and_seeds_differ(on_one_rank: dict[str, Any]) -> None:
    """Otherwise equality on ranks would say less than it seems to."""
    chosen = {record["test_last"] != record["test_at_best_validation"] for record, _ in on_one_rank.values()}
    assert chosen == {True, False}
    assert on_one_rank["pipeline"][0] != on_one_rank["pipeline, another seed"][0]


def without_gather(_rank: int) -> str:
    """What the pass says of a share that gathers nothing."""
    cell = cell_of("cascade", dist.get_world_size())
    data = load_splits(cell, None)
    make_share = sid_on_ranks.RankShare
    with mock.patch.object(sid_on_ranks, "RankShare", lambda *args, gather: make_share(*args)):  # noqa: ARG005
        try:
            accuracy_on_ranks.measure_accuracy_on_ranks(cell, data, dist.new_group(backend="gloo"))
        except BenchError as error:
            return str(error)
    return "nothing was noticed"


@pytest.mark.long
def test_a_share_that_gathers_nothing_is_an_error(tmp_path: Path) -> None:
    for message in run_ranks(2, without_gather, tmp_path):
        assert "method 'sid-parallel' has no accuracy on several ranks" in message
