"""Calibration, changed decisions, descent, and what was learned of wrong labels, against naive counts."""

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.measure.accuracy import measure_accuracy
from bench.measure.beliefs import CALIBRATION_BINS, calibration_error, changed_share, descent_violations
from bench.measure.wrong_labels import measure_wrong_labels
from bench.store.measurements.accuracy import Accuracy
from bench.train.datasets.splits import Split, Splits, load_splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep, build_step

# Among them the edges of bins, which belong to the bin below.
confidences = st.one_of(
    st.floats(1e-3, 1),
    st.integers(1, CALIBRATION_BINS).map(lambda edge: float(torch.linspace(0, 1, 16).double()[edge])),
)
divergences = st.one_of(st.floats(0, 50), st.just(0.0))


def doubles(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_equals_a_naive_count_over_bins(images: list[tuple[float, bool]]) -> None:
    edges = torch.linspace(0, 1, 16, dtype=torch.float64).tolist()
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = [(confidence, correct) for confidence, correct in images if low < confidence <= high]
        if inside:
            accuracy = sum(correct for _, correct in inside) / len(inside)
            mean = sum(confidence for confidence, _ in inside) / len(inside)
            expected += len(inside) / len(images) * abs(accuracy - mean)
    found = calibration_error(doubles([c for c, _ in images]), torch.tensor([correct for _, correct in images]))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0 <= found <= 1


def test_the_calibration_error_of_known_predictions() -> None:
    always = torch.ones(8, dtype=torch.bool)
    assert calibration_error(torch.ones(8, dtype=torch.float64), always) == 0
    assert calibration_error(torch.ones(8, dtype=torch.float64), ~always) == 1
    half = torch.arange(8) % 2 == 0
    assert calibration_error(torch.full((8,), 0.75, dtype=torch.float64), half) == 0.25
    # Two bins whose errors have opposite signs do not cancel.
    mixed = doubles([0.9] * 4 + [0.3] * 4)
    assert calibration_error(mixed, torch.tensor([False] * 4 + [True] * 4)) == pytest.approx(0.8)
    assert math.isnan(calibration_error(doubles([0.5, math.nan]), torch.tensor([True, True])))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_changed_share_equals_a_naive_count(pairs: list[tuple[int, int]]) -> None:
    before, after = (torch.tensor(column) for column in zip(*pairs, strict=True))
    assert changed_share(before, after) == pytest.approx(sum(a != b for a, b in pairs) / len(pairs))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(divergences, divergences), min_size=1, max_size=40), st.floats(0.01, 1))
def test_violations_of_descent_equal_a_naive_count(pairs: list[tuple[float, float]], alpha: float) -> None:
    excess = [after - (1 - alpha) * before for before, after in pairs]
    found = descent_violations(doubles([b for b, _ in pairs]), doubles([a for _, a in pairs]), alpha)
    assert found is not None
    assert found[0] == pytest.approx(sum(value > 0 for value in excess) / len(pairs))
    assert found[1] == pytest.approx(sum(max(value, 0) for value in excess) / len(pairs), rel=1e-12, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-6, 1), st.floats(0.01, 1))
def test_the_optimum_of_the_local_objective_never_violates_descent(before: float, alpha: float) -> None:
    optimum = alpha + (1 - alpha) * before  # the probability of the label
    found = descent_violations(doubles([-math.log(before)]), doubles([-math.log(optimum)]), alpha)
    assert found is not None
    assert found[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_divergence_that_is_not_finite_gives_no_violations(value: float) -> None:
    assert descent_violations(doubles([1.0, 1.0]), doubles([0.1, value]), 0.5) is None
    assert descent_violations(doubles([1.0, value]), doubles([0.1, 0.2]), 0.5) is None


def make(method: str = "sid-streamed", **axes: Any) -> Cell:
    small = {"dataset": "digits", "passes": ["accuracy"], "depth": 3, "modules": 3, "width": 16, "hidden": 24}
    return make_cell(
        {**small, "batch_size": 32, "method": method, "epochs": 3, "train_samples": 300, "noise_rate": 0.4, **axes}
    )


def run(cell: Cell) -> tuple[Accuracy, TrainingStep, Splits]:
    data = load_splits(cell, None)
    step = build_step(cell, data.shape, data.classes)
    return measure_accuracy(cell, step, data), step, data


def noisy_labels(cell: Cell, data: Splits) -> Tensor:
    rate = (cell.noise_kind, cell.noise_rate, cell.seed)
    return corrupt_labels(data.train.labels, data.classes, *rate, data.asymmetric)[0]


@pytest.mark.parametrize(("network", "alpha"), [("cascade-linear", 0.5), ("pipeline-conv", (0.9, 0.5, 0.2))])
def test_the_values_of_a_real_cell_equal_naive_counts(network: str, alpha: Any) -> None:
    sizes = {"depth": 3} if network == "cascade-linear" else {}
    cell = make(network=network, alpha=alpha, **sizes)
    accuracy, step, data = run(cell)
    alphas = alpha if isinstance(alpha, tuple) else (alpha,) * 3
    with torch.no_grad():
        logits = torch.stack(list(step.network.logits_by_module(data.test.images))).double()  # [M, N, C]
    beliefs = accuracy.beliefs_last
    assert beliefs is not None
    labels = data.test.labels
    before = torch.full((len(labels),), math.log(10), dtype=torch.float64)
    for module in range(3):
        probabilities = logits[module].softmax(1)
        confidence, predicted = probabilities.max(1)
        assert beliefs.calibration_error[module] == pytest.approx(
            calibration_error(confidence, predicted == labels), abs=1e-6
        )
        divergence = -logits[module].log_softmax(1)[torch.arange(len(labels)), labels]
        excess = divergence - (1 - alphas[module]) * before
        assert beliefs.descent_violated_share[module] == pytest.approx(float((excess > 0).double().mean()), abs=0.006)
        assert beliefs.descent_excess[module] == pytest.approx(float(excess.clamp_min(0).mean()), rel=1e-4)
        before = divergence
    assert beliefs.changed_share[0] is None
    for module in (1, 2):
        changed = (logits[module].argmax(1) != logits[module - 1].argmax(1)).double().mean()
        assert beliefs.changed_share[module] == pytest.approx(float(changed), abs=0.006)


@pytest.mark.parametrize("method", ["bp", "bp-label-smoothing", "deep-supervision"])
def test_a_rule_without_the_local_objective_has_no_bound_on_descent(method: str) -> None:
    beliefs = run(make(method, epochs=1))[0].beliefs_last
    assert beliefs is not None
    assert beliefs.descent_violated_share == beliefs.descent_excess == [None] * 3
    assert None not in beliefs.calibration_error
    assert beliefs.changed_share[0] is None
    assert None not in beliefs.changed_share[1:]


def test_modules_that_are_not_trained_have_no_values() -> None:
    beliefs = run(make("bp-plain", network="pipeline-conv", epochs=1))[0].beliefs_last
    assert beliefs is not None
    assert beliefs.calibration_error[:2] == [None, None]
    assert beliefs.calibration_error[2] is not None
    assert beliefs.changed_share == [None] * 3


def test_the_shares_of_wrong_labels_equal_naive_counts() -> None:
    cell = make("bp", modules=1, hidden=128, learning_rate=5e-3, epochs=40)
    accuracy, step, data = run(cell)
    noisy = noisy_labels(cell, data)
    with torch.no_grad():
        predicted = step.network(data.train.images).argmax(1)
    counts = {"learned": 0, "corrected": 0, "other": 0}
    for guess, wrong, true in zip(predicted.tolist(), noisy.tolist(), data.train.labels.tolist(), strict=True):
        if wrong != true:
            counts["learned" if guess == wrong else "corrected" if guess == true else "other"] += 1
    found = accuracy.wrong_labels_last
    assert found is not None
    assert found.images == sum(counts.values()) == round(accuracy.realised_noise_rate * len(data.train))
    for name, count in counts.items():
        assert getattr(found, f"{name}_share") == pytest.approx(count / found.images, abs=1e-12)
    assert found.learned_share > 0.5, "a network that is trained for long learns wrong labels"


@pytest.mark.parametrize("method", ["bp", "sid-streamed", "sid-vectorised"])
def test_the_chosen_epoch_has_the_values_of_a_run_that_ends_there(method: str) -> None:
    for seed in range(5):
        cell = make(method, epochs=8, seed=seed)
        accuracy, step, data = run(cell)
        validation = [epoch.validation or 0.0 for epoch in accuracy.epochs]
        chosen = validation.index(max(validation))
        if chosen < 7:
            break
    else:
        pytest.fail("the last epoch was chosen with every seed")
    shorter = run(make(method, epochs=chosen + 1, seed=seed))[0]
    assert accuracy.beliefs_at_best_validation == shorter.beliefs_last
    assert accuracy.wrong_labels_at_best_validation == shorter.wrong_labels_last
    assert accuracy.beliefs_at_best_validation != accuracy.beliefs_last
    # The network ends with the last weights.
    with torch.no_grad():
        correct = step.network(data.test.images).argmax(1) == data.test.labels
    assert accuracy.correct_last is not None
    assert correct.tolist() == accuracy.correct_last.decode().tolist()


def test_without_noise_there_are_no_wrong_labels() -> None:
    accuracy = run(make(noise_rate=0.0, epochs=2))[0]
    assert accuracy.wrong_labels_last is None
    assert accuracy.wrong_labels_at_best_validation is None
    assert accuracy.beliefs_at_best_validation is not None


@pytest.mark.parametrize("number", [1, 2, 128, 129, 257])
def test_no_wrong_label_is_evaluated_alone(number: int) -> None:
    """Some networks cannot evaluate a single image."""
    cell = make()
    step = build_step(cell, (1, 8, 8), 10)
    images = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    true = torch.zeros(300, dtype=torch.int64)
    noisy = torch.where(torch.arange(300) < number, 3, 0)
    sizes: list[int] = []

    def read(network: Any, batch: Tensor) -> Any:
        sizes.append(len(batch))
        return network.logits_by_module(batch)

    found = measure_wrong_labels(dataclasses.replace(step, logits_by_module=read), Split(images, noisy), true)
    assert found is not None
    assert found.images == number
    assert min(sizes) > 1
    assert max(sizes) <= 128
    with torch.no_grad():
        predicted = step.network(images[:number]).argmax(1)
    assert found.learned_share == pytest.approx(float((predicted == 3).double().mean()), abs=1e-12)
    assert found.learned_share + found.corrected_share + found.other_share == pytest.approx(1)


@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_a_diverged_run_has_no_probabilities(method: str) -> None:
    beliefs = run(make(method, learning_rate=1e30))[0].beliefs_last
    assert beliefs is not None
    assert beliefs.calibration_error == beliefs.descent_excess == [None] * 3


def test_an_older_accuracy_without_these_fields_is_read() -> None:
    accuracy = run(make(epochs=1))[0]
    content = json.loads(accuracy.model_dump_json())
    added = ("beliefs_last", "beliefs_at_best_validation", "wrong_labels_last", "wrong_labels_at_best_validation")
    assert all(content[name] for name in added)
    older = Accuracy.model_validate({name: value for name, value in content.items() if name not in added})
    assert older == accuracy.model_copy(update=dict.fromkeys(added))
    assert Accuracy.model_validate_json(accuracy.model_dump_json()) == accuracy
