"""The accuracy pass: trains for some epochs, and evaluates every module."""

from typing import NamedTuple

from torch import Tensor

from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.measure.beliefs import measure_beliefs
from bench.measure.epochs import Trained, first_best, load_states, states_of, train_epochs
from bench.measure.first_training import learn_from_bp
from bench.measure.labelled import Labelled, labelled
from bench.measure.training import StepTraining, Training
from bench.measure.wrong_labels import measure_wrong_labels
from bench.store.correct import Correct
from bench.store.measurements.accuracy import Accuracy, Beliefs, WrongLabels
from bench.train.datasets.splits import Splits
from bench.train.step import TrainingStep

_LAST_EPOCHS = 10


def measure_accuracy(cell: Cell, step: TrainingStep, data: Splits, training: Training | None = None) -> Accuracy:
    """Train on noisy labels, and evaluate each epoch on clean labels.

    The epoch of ``test_at_best_validation`` is chosen on validation labels with noise of the same kind and rate as the
    training labels; test labels are clean. The test set selects nothing, except for ``test_best_optimistic``. A method
    that learns from a network trained by BP trains that network first (:mod:`bench.measure.first_training`).

    Beliefs and wrong labels are measured at the end, on the last weights and on a copy of those of the chosen epoch, so
    they cost two evaluations and not one an epoch. The copy is the state dictionary of the network and of what the rule
    has beside it, kept on the CPU. The network ends with the last weights.

    Args:
        cell: the cell; its batch size, epochs, schedule, noise, seed and device are used.
        step: a newly built training step.
        data: the splits, on the CPU.
        training: trains the network of ``step``, which is then only evaluated; None: ``step`` trains it.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    of_cell = labelled(cell, data) if training is None else training.data
    first_epochs = learn_from_bp(cell, step, data, of_cell)
    trained = train_epochs(cell, step, training or StepTraining(cell, of_cell, step))
    true_labels = data.train.labels.to(cell.device)
    last = at_chosen = _inspect(cell, step, of_cell, true_labels)
    if trained.chosen_states:
        last_states = states_of(trained.held)
        trained.load_chosen()
        at_chosen = _inspect(cell, step, of_cell, true_labels)
        load_states(trained.held, last_states)
    return _summarise(trained, of_cell, last, at_chosen, first_epochs)


class _Inspection(NamedTuple):
    beliefs: Beliefs
    wrong_labels: WrongLabels | None


def _inspect(cell: Cell, step: TrainingStep, data: Labelled, true_labels: Tensor) -> _Inspection:
    alphas = None
    if step.objective is not None and load_method(cell.method).objective and cell.direction == "forward":
        alphas = step.objective.alphas(len(step.network.local_modules))
    return _Inspection(measure_beliefs(step, data.test, alphas), measure_wrong_labels(step, data.train, true_labels))


def _summarise(
    trained: Trained,
    data: Labelled,
    inspected: _Inspection,
    inspected_at_chosen: _Inspection,
    first_epochs: int | None,
) -> Accuracy:
    epochs, correct, chosen = trained.epochs, trained.correct, trained.chosen
    last = epochs[-1]
    tail = [epoch.test for epoch in epochs[-_LAST_EPOCHS:]]
    return Accuracy(
        test_last=last.test,
        test_mean_last10=sum(tail) / len(tail),
        test_at_best_validation=epochs[chosen].test,
        test_at_best_clean_validation=epochs[first_best([epoch.validation_clean for epoch in epochs])].test,
        test_best_optimistic=max(epoch.test for epoch in epochs),
        validation_last=last.validation,
        validation_clean_last=last.validation_clean,
        test_by_module=last.test_by_module,
        kl_by_module=last.kl_by_module,
        realised_noise_rate=data.train_noise_rate,
        realised_validation_noise_rate=data.validation_noise_rate,
        diverged=last.train_loss is None
        or any(
            kl is None for share, kl in zip(last.test_by_module, last.kl_by_module, strict=True) if share is not None
        ),
        correct_last=Correct.pack(correct[-1].numpy()),
        correct_at_best_validation=Correct.pack(correct[chosen].numpy()),
        beliefs_last=inspected.beliefs,
        beliefs_at_best_validation=inspected_at_chosen.beliefs,
        wrong_labels_last=inspected.wrong_labels,
        wrong_labels_at_best_validation=inspected_at_chosen.wrong_labels,
        first_epochs=first_epochs,
        epochs=epochs,
    )
