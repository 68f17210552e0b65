"""The accuracy pass: trains for some epochs, and evaluates every module."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.measure.beliefs import measure_beliefs
from bench.measure.evaluation import evaluate, finite
from bench.measure.training import StepTraining, Training, corrupted, on_device
from bench.measure.wrong_labels import measure_wrong_labels
from bench.store.correct import Correct
from bench.store.record import Accuracy, Beliefs, Epoch, WrongLabels
from bench.train.datasets.splits import Split, Splits
from bench.train.step import TrainingStep

_LAST_EPOCHS = 10

_State = dict[str, Any]


def measure_accuracy(cell: Cell, step: TrainingStep, data: Splits, training: Training | None = None) -> Accuracy:
    """Train on noisy labels, and evaluate each epoch on clean labels.

    The order of the data comes from a separate generator, so every method sees the same batches. The epoch of
    ``test_at_best_validation`` is chosen on validation labels with noise of the same kind and rate as the training
    labels; test labels are clean. The test set selects nothing, except for ``test_best_optimistic``.

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
    training = training or StepTraining(cell, data, step)
    noisy_validation, realised_validation_rate = corrupted(cell, data, "validation")
    validation, test = on_device(data.validation, cell.device), on_device(data.test, cell.device)
    epochs: list[Epoch] = []
    correct: list[Tensor] = []
    held = [step.plain_network or step.network, *([] if step.auxiliary is None else [step.auxiliary])]
    chosen, chosen_states = 0, list[_State]()  # of the epochs so far
    for epoch in range(cell.epochs):
        if epoch and chosen == epoch - 1:  # before training changes it
            chosen_states = list(map(_copy_of_state, held))
        train_loss = training.train_epoch()
        tested, validated = evaluate(step, test), evaluate(step, validation)
        correct.append(tested.predictions == data.test.labels)
        epochs.append(
            Epoch(
                train_loss=finite(train_loss),
                validation=_share(validated.predictions == noisy_validation),
                validation_clean=_share(validated.predictions == data.validation.labels),
                test=_share(correct[-1]),
                test_by_module=tested.accuracies,
                kl_by_module=tested.divergences,
            )
        )
        chosen = _first_best([epoch.validation for epoch in epochs])
    true_labels = data.train.labels.to(cell.device)
    last = at_chosen = _inspect(cell, step, test, training.split, true_labels)
    if chosen < cell.epochs - 1:
        last_states = list(map(_copy_of_state, held))
        _load_states(held, chosen_states)
        at_chosen = _inspect(cell, step, test, training.split, true_labels)
        _load_states(held, last_states)
    return _summarise(epochs, correct, training.wrong_share, realised_validation_rate, chosen, last, at_chosen)


class _Inspection(NamedTuple):
    beliefs: Beliefs
    wrong_labels: WrongLabels | None


def _inspect(cell: Cell, step: TrainingStep, test: Split, train: Split, true_labels: Tensor) -> _Inspection:
    alphas = None
    if step.objective is not None and load_method(cell.method).objective and cell.direction == "forward":
        alphas = step.objective.alphas(len(step.network.local_modules))
    return _Inspection(measure_beliefs(step, test, alphas), measure_wrong_labels(step, train, true_labels))


def _copy_of_state(module: nn.Module) -> _State:
    return {
        name: value.to("cpu", copy=True) if isinstance(value, Tensor) else value
        for name, value in module.state_dict().items()
    }


def _load_states(modules: Sequence[nn.Module], states: Sequence[_State]) -> None:
    for module, state in zip(modules, states, strict=True):
        module.load_state_dict(state)


def _summarise(
    epochs: list[Epoch],
    correct: list[Tensor],
    rate: float,
    validation_rate: float,
    chosen: int,
    inspected: _Inspection,
    inspected_at_chosen: _Inspection,
) -> Accuracy:
    last = epochs[-1]
    tail = [epoch.test for epoch in epochs[-_LAST_EPOCHS:]]
    return Accuracy(
        test_last=last.test,
        test_mean_last10=sum(tail) / len(tail),
        test_at_best_validation=epochs[chosen].test,
        test_at_best_clean_validation=epochs[_first_best([epoch.validation_clean for epoch in epochs])].test,
        test_best_optimistic=max(epoch.test for epoch in epochs),
        validation_last=last.validation,
        validation_clean_last=last.validation_clean,
        test_by_module=last.test_by_module,
        kl_by_module=last.kl_by_module,
        realised_noise_rate=rate,
        realised_validation_noise_rate=validation_rate,
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
        epochs=epochs,
    )


def _first_best(shares: Sequence[float | None]) -> int:
    """Return the index of the highest share, the first of equals."""
    return max(range(len(shares)), key=lambda index: shares[index] or 0.0)


def _share(correct: Tensor) -> float:
    """Return the fraction of true values."""
    return float(correct.double().mean())
