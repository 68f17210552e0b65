"""The accuracy pass: trains for some epochs, and evaluates the belief of every module."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.batches import EVALUATION_BATCH
from bench.config.cell import Cell
from bench.store.correct import Correct
from bench.store.record import Accuracy, Epoch
from bench.train.datasets.splits import Split, Splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep

_LAST_EPOCHS = 10


def measure_accuracy(cell: Cell, step: TrainingStep, data: Splits) -> Accuracy:
    """Train on noisy labels, and evaluate each epoch on clean labels.

    The order of the data comes from a separate generator, so every method sees the same batches. The epoch of
    ``test_at_best_validation`` is chosen on validation labels with noise of the same kind and rate as the training
    labels; test labels are clean. The test set selects nothing, except for ``test_best_optimistic``.

    Args:
        cell: the cell; its batch size, epochs, schedule, noise, seed and device are used.
        step: a newly built training step.
        data: the splits, on the CPU.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    noisy_labels, realised_rate = corrupt_labels(
        data.train.labels, data.classes, cell.noise_kind, cell.noise_rate, cell.seed, data.asymmetric
    )
    train = _on_device(Split(data.train.images, noisy_labels), cell.device)
    noisy_validation, realised_validation_rate = corrupt_labels(
        data.validation.labels,
        *(data.classes, cell.noise_kind, cell.noise_rate, cell.seed, data.asymmetric),
        split="validation",
    )
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
    for _ in range(cell.epochs):
        step.network.train()
        total = torch.zeros((), device=cell.device)
        for batch in torch.randperm(len(train), generator=order).split(cell.batch_size):
            index = batch.to(cell.device)
            total += step(train.images[index], train.labels[index]) * len(batch)
            for scheduler in schedulers:
                scheduler.step()
        tested, validated = _evaluate(step, test), _evaluate(step, validation)
        correct.append(tested.predictions == data.test.labels)
        epochs.append(
            Epoch(
                train_loss=_finite(float(total) / len(train)),
                validation=_share(validated.predictions == noisy_validation),
                validation_clean=_share(validated.predictions == data.validation.labels),
                test=_share(correct[-1]),
                test_by_module=tested.accuracies,
                kl_by_module=tested.divergences,
            )
        )
    return _summarise(epochs, correct, realised_rate, realised_validation_rate)


def _summarise(epochs: list[Epoch], correct: list[Tensor], rate: float, validation_rate: float) -> Accuracy:
    last = epochs[-1]
    tail = [epoch.test for epoch in epochs[-_LAST_EPOCHS:]]
    chosen = _first_best([epoch.validation for epoch in epochs])
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
        epochs=epochs,
    )


def _first_best(shares: Sequence[float | None]) -> int:
    """Return the index of the highest share, the first of equals."""
    return max(range(len(shares)), key=lambda index: shares[index] or 0.0)


class _Evaluation(NamedTuple):
    """What a network predicts for a split.

    Attributes:
        predictions: the classes that the last module predicts, int64 ``[N]``, on the CPU.
        accuracies: of each module; None for a module without logits.
        divergences: the mean KL(p_y || p_i) of each module, in nats; None likewise, and where it is not finite.
    """

    predictions: Tensor
    accuracies: list[float | None]
    divergences: list[float | None]


@torch.no_grad()
def _evaluate(step: TrainingStep, split: Split) -> _Evaluation:
    """Evaluate every module on the labels of ``split``.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    step.network.eval()
    modules = len(step.network.local_modules)
    correct = torch.zeros(modules, dtype=torch.int64, device=split.labels.device)
    divergence = torch.zeros(modules, dtype=torch.float64, device=split.labels.device)
    trained: list[int] = []
    predictions: list[Tensor] = []
    for images, labels in zip(split.images.split(EVALUATION_BATCH), split.labels.split(EVALUATION_BATCH), strict=True):
        with step.autocast(images.device):
            by_module = dict(enumerate(step.logits_by_module(step.network, images)))
        read = {index: logits for index, logits in by_module.items() if logits is not None}
        trained = list(read)
        if modules - 1 not in read:
            raise RuntimeError("the method's logits_by_module returned None for the last module; legal: a tensor")
        logits = torch.stack(list(read.values()), dim=2)  # [B, C, trained modules]
        each_label = labels[:, None].expand(-1, len(trained))
        predicted = logits.argmax(dim=1)
        predictions.append(predicted[:, trained.index(modules - 1)].cpu())
        correct[trained] += (predicted == each_label).sum(dim=0)
        # For a one-hot p_y, the divergence is the negative log-likelihood of the label.
        divergence[trained] += F.cross_entropy(logits.double(), each_label, reduction="none").sum(dim=0)
    shares, means = (correct.double() / len(split)).tolist(), (divergence / len(split)).tolist()
    return _Evaluation(
        torch.cat(predictions),
        [shares[index] if index in trained else None for index in range(modules)],
        [_finite(means[index]) if index in trained else None for index in range(modules)],
    )


def _share(correct: Tensor) -> float:
    """Return the fraction of true values."""
    return float(correct.double().mean())


def _finite(value: float) -> float | None:
    """Return ``value``, or None if training diverged: JSON has neither NaN nor infinities."""
    return value if math.isfinite(value) else None


def _on_device(split: Split, device: str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
