"""The accuracy pass: trains for some epochs, and evaluates every module."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.measure.beliefs import measure_beliefs
from bench.measure.evaluation import evaluate, finite
from bench.measure.wrong_labels import measure_wrong_labels
from bench.store.correct import Correct
from bench.store.record import Accuracy, Beliefs, Epoch, WrongLabels
from bench.train.datasets.splits import Split, Splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep

_LAST_EPOCHS = 10

_State = dict[str, Any]


def measure_accuracy(cell: Cell, step: TrainingStep, data: Splits) -> Accuracy:
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

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    noisy_labels, realised_rate = _corrupted(cell, data, "train")
    train = _on_device(Split(data.train.images, noisy_labels), cell.device)
    noisy_validation, realised_validation_rate = _corrupted(cell, data, "validation")
    validation, test = _on_device(data.validation, cell.device), _on_device(data.test, cell.device)
    batches_an_epoch = math.ceil(len(train) / cell.batch_size)
    schedulers = [
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=cell.epochs * batches_an_epoch)
        for optimizer in step.optimizers
        if cell.schedule == "cosine"
    ]
    order = torch.Generator().manual_seed(cell.seed)
    epochs: list[Epoch] = []
    correct: list[Tensor] = []
    held = [step.plain_network or step.network, *([] if step.auxiliary is None else [step.auxiliary])]
    chosen, chosen_states = 0, list[_State]()  # of the epochs so far
    for epoch in range(cell.epochs):
        if epoch and chosen == epoch - 1:  # before training changes it
            chosen_states = list(map(_copy_of_state, held))
        step.network.train()
        total = torch.zeros((), device=cell.device)
        for batch in torch.randperm(len(train), generator=order).split(cell.batch_size):
            index = batch.to(cell.device)
            total += step(train.images[index], train.labels[index], indices=index) * len(batch)
            for scheduler in schedulers:
                scheduler.step()
        tested, validated = evaluate(step, test), evaluate(step, validation)
        correct.append(tested.predictions == data.test.labels)
        epochs.append(
            Epoch(
                train_loss=finite(float(total) / len(train)),
                validation=_share(validated.predictions == noisy_validation),
                validation_clean=_share(validated.predictions == data.validation.labels),
                test=_share(correct[-1]),
                test_by_module=tested.accuracies,
                kl_by_module=tested.divergences,
            )
        )
        chosen = _first_best([epoch.validation for epoch in epochs])
    true_labels = data.train.labels.to(cell.device)
    last = at_chosen = _inspect(cell, step, test, train, true_labels)
    if chosen < cell.epochs - 1:
        last_states = list(map(_copy_of_state, held))
        _load_states(held, chosen_states)
        at_chosen = _inspect(cell, step, test, train, true_labels)
        _load_states(held, last_states)
    return _summarise(epochs, correct, realised_rate, realised_validation_rate, chosen, last, at_chosen)


def _corrupted(cell: Cell, data: Splits, name: Literal["train", "validation"]) -> tuple[Tensor, float]:
    """The labels of a split with the noise of the cell, and the share of them that are wrong."""
    split = data.train if name == "train" else data.validation
    return corrupt_labels(
        split.labels,
        *(data.classes, cell.noise_kind, cell.noise_rate, cell.seed, data.asymmetric),
        split=name,
        human_labels=split.human_labels,
        matrix=data.matrix,
    )


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


def _on_device(split: Split, device: str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
