"""The accuracy pass on the digits data set."""

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.execute.messages import Answer
from bench.execute.unfinished import UnfinishedCell
from bench.measure.accuracy import measure_accuracy
from bench.store.measurements.accuracy import Accuracy
from bench.store.record import Record
from bench.train.datasets.splits import Splits, load_splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep, build_step

Rule = Callable[..., Tensor]

METHODS = [
    "bp",
    "bp-checkpoint",
    "bp-checkpoint-trunk",
    "bp-selective",
    "bp-step-in-backward",
    "bp-label-smoothing",
    "bp-bootstrap",
    "bp-gce",
    "deep-supervision",
    "sid-published",
    "sid-streamed",
    "sid-streamed-autograd",
]


def make(method: str = "bp", **axes: Any) -> Cell:
    """Return a small cell on 200 digits."""
    small = {"dataset": "digits", "passes": ["accuracy"], "depth": 3, "width": 16, "hidden": 24, "batch_size": 32}
    return make_cell(small | {"method": method, "epochs": 2, "train_samples": 200} | axes)


def run(cell: Cell, wrap: Callable[[Rule], Rule] = lambda rule: rule) -> tuple[Accuracy, TrainingStep, Splits]:
    """Run the pass with the cell's rule, or with ``wrap`` of the rule."""
    data = load_splits(cell, None)
    step = build_step(cell, data.shape, data.classes)
    step = dataclasses.replace(step, rule=wrap(step.rule))
    return measure_accuracy(cell, step, data), step, data


def idle(_network: Any, images: Tensor, _labels: Tensor, _alpha: Any) -> Tensor:
    """A rule that trains nothing."""
    return images.new_ones(())


class Recorder:
    """Records the batches that a rule receives, and optionally trains on them."""

    def __init__(self, trains: bool = True) -> None:
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.training: list[bool] = []
        self._trains = trains

    def __call__(self, rule: Rule) -> Rule:
        """Return a rule that records its batches."""

        def record(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
            self.images.append(images)
            self.labels.append(labels)
            self.training.append(network.training)
            return (rule if self._trains else idle)(network, images, labels, alpha)

        return record


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_cell_gives_identical_accuracies(method: str) -> None:
    cell = make(method, noise_rate=0.2)
    first, second = run(cell)[0], run(cell)[0]
    assert first == second
    assert not first.diverged


def test_training_reaches_a_high_accuracy_on_digits() -> None:
    accuracy, *_ = run(make("sid-streamed", epochs=5, train_samples=None))
    assert accuracy.test_last > 0.8
    losses = [epoch.train_loss for epoch in accuracy.epochs]
    assert losses == sorted(losses, reverse=True)


def test_another_seed_gives_other_results() -> None:
    assert run(make(seed=0))[0] != run(make(seed=1))[0]


def test_all_methods_see_the_same_batches() -> None:
    recorders = []
    for method in METHODS:
        recorders.append(Recorder())
        run(make(method, noise_rate=0.4), recorders[-1])
    first, *others = recorders
    for other in others:
        assert same(other.labels, first.labels)
        assert same(other.images, first.images)


def test_random_numbers_drawn_by_a_rule_do_not_change_the_batches() -> None:
    def draw(_rule: Rule) -> Rule:
        def rule(*arguments: Any) -> Tensor:
            torch.rand(1)
            return idle(*arguments)

        return rule

    plain, drawing = Recorder(), Recorder()
    run(make(), lambda _rule: plain(idle))
    run(make(), lambda rule: drawing(draw(rule)))
    assert same(drawing.images, plain.images)


def test_each_epoch_visits_every_training_sample_once_in_a_new_order() -> None:
    recorder = Recorder(trains=False)
    cell = make()
    _, _, data = run(cell, recorder)
    assert [len(labels) for labels in recorder.labels] == [32, 32, 32, 32, 32, 20] * 2
    first, second = torch.cat(recorder.images[:6]), torch.cat(recorder.images[6:])
    assert not torch.equal(first, second)
    rows = [sorted(map(tuple, images.flatten(1).tolist())) for images in (first, second, data.train.images)]
    assert rows[0] == rows[1] == rows[2]


def test_training_steps_run_in_training_mode() -> None:
    recorder = Recorder()
    run(make(), recorder)
    assert recorder.training
    assert all(recorder.training)


def test_streamed_and_published_give_nearly_the_same_accuracies() -> None:
    streamed, published = (run(make(method))[0] for method in ("sid-streamed", "sid-published"))
    assert streamed.test_by_module == pytest.approx(published.test_by_module, abs=0.01)
    assert streamed.kl_by_module == pytest.approx(published.kl_by_module, abs=1e-3)
    assert streamed.epochs[-1].train_loss == pytest.approx(published.epochs[-1].train_loss, rel=1e-3)


@pytest.mark.parametrize(("depth", "modules"), [(1, 1), (4, 4), (6, 2)])
def test_each_module_has_an_accuracy_and_a_divergence(depth: int, modules: int) -> None:
    accuracy, *_ = run(make("sid-streamed", depth=depth, modules=modules))
    for epoch in accuracy.epochs:
        assert len(epoch.kl_by_module) == len(epoch.test_by_module) == modules
    assert len(accuracy.kl_by_module) == len(accuracy.test_by_module) == modules


def test_values_per_module_are_computed_on_the_clean_test_set() -> None:
    accuracy, step, data = run(make("sid-streamed", noise_rate=0.4))
    with torch.no_grad():
        all_logits = list(step.network.logits_by_module(data.test.images))
        validation_logits = step.network(data.validation.images)
    shares = [float((logits.argmax(1) == data.test.labels).double().mean()) for logits in all_logits]
    divergences = [float(F.cross_entropy(logits.double(), data.test.labels)) for logits in all_logits]
    assert accuracy.test_by_module == pytest.approx(shares, abs=1e-12)
    assert accuracy.kl_by_module == pytest.approx(divergences, rel=1e-6)
    assert accuracy.test_last == accuracy.test_by_module[-1]
    clean = (validation_logits.argmax(1) == data.validation.labels).double().mean()
    assert accuracy.validation_clean_last == pytest.approx(float(clean), abs=1e-12)


def test_the_training_loss_is_averaged_over_samples_rather_than_batches() -> None:
    def loss_is_batch_size(_rule: Rule) -> Rule:
        return lambda _network, images, _labels, _alpha: torch.tensor(float(len(images)))

    accuracy, *_ = run(make(), loss_is_batch_size)
    assert accuracy.epochs[0].train_loss == pytest.approx((5 * 32 * 32 + 20 * 20) / 180)


def test_noise_changes_labels_of_training_and_validation_only() -> None:
    noisy, clean = Recorder(trains=False), Recorder(trains=False)
    accuracy, _, noisy_data = run(make(noise_rate=0.4), noisy)
    clean_accuracy, _, clean_data = run(make(), clean)
    assert same(noisy.images, clean.images)
    for epoch in (slice(0, 6), slice(6, 12)):
        changed = torch.cat(noisy.labels[epoch]) != torch.cat(clean.labels[epoch])
        assert float(changed.double().mean()) == pytest.approx(accuracy.realised_noise_rate)
    assert 0.3 < accuracy.realised_noise_rate < 0.5
    assert clean_accuracy.realised_noise_rate == 0
    # The weights are the same and untrained, so only the labels of the evaluation differ.
    for epoch, of_clean in zip(accuracy.epochs, clean_accuracy.epochs, strict=True):
        assert of_clean.validation == of_clean.validation_clean
        assert epoch == of_clean.model_copy(update={"validation": epoch.validation})
    assert clean_accuracy.realised_validation_noise_rate == 0
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(noisy_data, split).labels, getattr(clean_data, split).labels)


def test_a_network_trained_on_flipped_labels_fails_on_the_clean_test_set() -> None:
    axes = {"epochs": 8, "train_samples": None}
    flipped, _, _ = run(make("bp", noise_kind="pairflip", noise_rate=1.0, **axes))
    assert flipped.realised_noise_rate == 1
    assert flipped.test_last < 0.1
    assert flipped.validation_clean_last < 0.1
    assert flipped.validation_last is not None
    assert flipped.validation_last > 0.8, "validation labels are flipped as training labels are"
    assert flipped.realised_validation_noise_rate == 1


@pytest.mark.parametrize("kind", ["symmetric-exclusive", "symmetric-inclusive", "pairflip"])
def test_validation_labels_have_noise_of_the_kind_and_rate_of_training(kind: str) -> None:
    cell = make("sid-streamed", noise_kind=kind, noise_rate=0.4)
    accuracy, step, data = run(cell)
    labels, rate = corrupt_labels(data.validation.labels, 10, kind, 0.4, cell.seed, split="validation")  # type: ignore[arg-type]
    with torch.no_grad():
        predicted = step.network(data.validation.images).argmax(1)
    assert accuracy.validation_last == float((predicted == labels).double().mean())
    assert accuracy.validation_clean_last == float((predicted == data.validation.labels).double().mean())
    assert accuracy.realised_validation_noise_rate == rate > 0.1


@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_the_record_says_which_test_images_were_predicted_correctly(method: str) -> None:
    accuracy, step, data = run(make(method, noise_rate=0.4, epochs=4))
    with torch.no_grad():
        correct = step.network(data.test.images).argmax(1) == data.test.labels
    assert accuracy.correct_last is not None
    assert accuracy.correct_last.decode().tolist() == correct.tolist()
    assert accuracy.correct_at_best_validation is not None
    assert accuracy.correct_at_best_validation.images == 360
    assert accuracy.correct_at_best_validation.decode().mean() == accuracy.test_at_best_validation


def test_each_epoch_is_chosen_by_its_own_validation_labels() -> None:
    """The noisy choice and the clean one are different epochs, each the first of its best."""
    found = set()
    for seed in range(4):
        accuracy, *_ = run(make("bp", noise_rate=0.6, epochs=8, seed=seed))
        choices = []
        for name in ("validation", "validation_clean"):
            shares = [getattr(epoch, name) for epoch in accuracy.epochs]
            choices.append(shares.index(max(shares)))
        noisy, clean = choices
        assert accuracy.test_at_best_validation == accuracy.epochs[noisy].test
        assert accuracy.test_at_best_clean_validation == accuracy.epochs[clean].test
        assert accuracy.correct_at_best_validation is not None
        assert accuracy.correct_at_best_validation.decode().mean() == accuracy.epochs[noisy].test
        found.add(noisy != clean)
    assert True in found, "the seeds tell the two choices apart"


def test_a_cosine_schedule_falls_to_zero() -> None:
    cell = make(optimizer="sgd", epochs=3)
    data = load_splits(cell, None)
    step = build_step(cell, data.shape, data.classes)
    rates: list[float] = []

    def record_rate(*arguments: Any) -> Tensor:
        rates.append(step.optimizer.param_groups[0]["lr"])
        return idle(*arguments)

    measure_accuracy(cell, dataclasses.replace(step, rule=record_rate), data)
    assert cell.schedule == "cosine"
    assert len(rates) == 3 * 6
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.05
    assert rates[9] == pytest.approx(0.025)  # half-way
    assert rates[-1] < 0.02 * rates[0]
    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_a_cosine_schedule_drives_the_optimizers_of_all_modules() -> None:
    in_turn, step, _ = run(make("sid-streamed-in-turn", optimizer="sgd"))
    at_the_end, *_ = run(make("sid-streamed", optimizer="sgd"))
    assert in_turn == at_the_end
    assert len(step.optimizers) > 1
    assert all(
        optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12) and optimizer.param_groups[0]["params"]
        for optimizer in step.optimizers
    )


def test_accuracy_in_bfloat16_is_close_to_float32() -> None:
    narrow, wide = (run(make("sid-streamed", precision=name))[0] for name in ("bfloat16", "float32"))
    assert narrow.test_by_module == pytest.approx(wide.test_by_module, abs=0.05)
    assert narrow.epochs[-1].train_loss != wide.epochs[-1].train_loss
    assert narrow.epochs[-1].train_loss == pytest.approx(wide.epochs[-1].train_loss, rel=0.02)


def test_a_constant_schedule_keeps_the_learning_rate() -> None:
    _, step, _ = run(make())
    assert step.optimizer.param_groups[0]["lr"] == 1e-3


def test_the_summary_is_computed_from_the_epochs() -> None:
    accuracy, *_ = run(make("sid-streamed", epochs=13, train_samples=60))
    tests = [epoch.test for epoch in accuracy.epochs]
    assert len(tests) == 13
    assert len(set(tests)) > 3
    assert accuracy.test_last == tests[-1]
    assert accuracy.test_mean_last10 == pytest.approx(statistics.mean(tests[3:]), rel=1e-12)
    assert accuracy.test_best_optimistic == max(tests)
    validation = [epoch.validation_clean for epoch in accuracy.epochs]
    assert accuracy.test_at_best_validation == tests[validation.index(max(validation))]
    last = accuracy.epochs[-1]
    assert (accuracy.validation_last, accuracy.test_by_module, accuracy.kl_by_module) == (
        last.validation,
        last.test_by_module,
        last.kl_by_module,
    )


def test_fewer_than_ten_epochs_are_averaged_over_all_of_them() -> None:
    accuracy, *_ = run(make(epochs=3))
    assert accuracy.test_mean_last10 == pytest.approx(statistics.mean(epoch.test for epoch in accuracy.epochs))


@pytest.mark.parametrize("method", ["bp", "sid-published", "sid-streamed", "sid-streamed-autograd"])
def test_a_diverged_run_is_marked_and_has_no_divergence_values(method: str) -> None:
    accuracy, *_ = run(make(method, learning_rate=1e30))
    assert accuracy.diverged
    assert accuracy.epochs[-1].train_loss is None
    assert accuracy.kl_by_module == [None] * 3
    assert 0 <= accuracy.test_last <= 1


def test_a_diverged_run_gives_a_valid_record() -> None:
    cell = make("sid-streamed", learning_rate=1e30)
    accuracy, *_ = run(cell)

    one = UnfinishedCell(cell, "suite", untimed=Answer(status="ok", work_seconds=0.1, accuracy=accuracy))
    record = one.record()
    assert record.accuracy == accuracy
    assert "NaN" not in record.line()
    assert Record.model_validate_json(record.line()) == record


def test_a_converging_run_is_not_marked_as_diverged() -> None:
    accuracy, *_ = run(make())
    assert not accuracy.diverged
    assert all(epoch.train_loss is not None for epoch in accuracy.epochs)
