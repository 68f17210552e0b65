"""The accuracy pass: trains for some epochs, and evaluates the belief of every module."""

import math

import torch
import torch.nn.functional as F

from bench.config.batches import EVALUATION_BATCH
from bench.config.cell import Cell
from bench.store.record import Accuracy, Epoch
from bench.train.datasets.splits import Split, Splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep

_LAST_EPOCHS = 10


def measure_accuracy(cell: Cell, step: TrainingStep, data: Splits) -> Accuracy:
    """Train on noisy labels, and evaluate each epoch on clean labels.

    The order of the data comes from a separate generator, so every method sees the same batches. Only training labels
    are noisy. The test set selects nothing, except for ``test_best_optimistic``.

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
    validation, test = _on_device(data.validation, cell.device), _on_device(data.test, cell.device)
    batches_an_epoch = math.ceil(len(train) / cell.batch_size)
    schedulers = [
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=cell.epochs * batches_an_epoch)
        for optimizer in step.optimizers
        if cell.schedule == "cosine"
    ]
    order = torch.Generator().manual_seed(cell.seed)
    epochs: list[Epoch] = []
    for _ in range(cell.epochs):
        step.network.train()
        total = torch.zeros((), device=cell.device)
        for batch in torch.randperm(len(train), generator=order).split(cell.batch_size):
            index = batch.to(cell.device)
            total += step(train.images[index], train.labels[index]) * len(batch)
            for scheduler in schedulers:
                scheduler.step()
        test_accuracies, test_kl = _evaluate(step, test)
        validation_accuracies, _ = _evaluate(step, validation)
        epochs.append(
            Epoch(
                train_loss=_finite(float(total) / len(train)),
                validation=_of_last(validation_accuracies),
                test=_of_last(test_accuracies),
                test_by_module=test_accuracies,
                kl_by_module=test_kl,
            )
        )
    return _summarise(epochs, realised_rate)


def _summarise(epochs: list[Epoch], realised_rate: float) -> Accuracy:
    last = epochs[-1]
    tail = [epoch.test for epoch in epochs[-_LAST_EPOCHS:]]
    best_validated = max(epochs, key=lambda epoch: epoch.validation)  # of equals, the first
    return Accuracy(
        test_last=last.test,
        test_mean_last10=sum(tail) / len(tail),
        test_at_best_validation=best_validated.test,
        test_best_optimistic=max(epoch.test for epoch in epochs),
        validation_last=last.validation,
        test_by_module=last.test_by_module,
        kl_by_module=last.kl_by_module,
        realised_noise_rate=realised_rate,
        diverged=last.train_loss is None
        or any(
            kl is None for share, kl in zip(last.test_by_module, last.kl_by_module, strict=True) if share is not None
        ),
        epochs=epochs,
    )


@torch.no_grad()
def _evaluate(step: TrainingStep, split: Split) -> tuple[list[float | None], list[float | None]]:
    """Return the accuracy and the mean KL(p_y || p_i), in nats, of every module; None for modules without logits."""
    step.network.eval()
    modules = len(step.network.local_modules)
    correct = torch.zeros(modules, dtype=torch.int64, device=split.labels.device)
    divergence = torch.zeros(modules, dtype=torch.float64, device=split.labels.device)
    trained: list[int] = []
    for images, labels in zip(split.images.split(EVALUATION_BATCH), split.labels.split(EVALUATION_BATCH), strict=True):
        with step.autocast(images.device):
            by_module = dict(enumerate(step.logits_by_module(step.network, images)))
        read = {index: logits for index, logits in by_module.items() if logits is not None}
        trained = list(read)
        logits = torch.stack(list(read.values()), dim=2)  # [B, C, trained modules]
        each_label = labels[:, None].expand(-1, len(trained))
        correct[trained] += (logits.argmax(dim=1) == each_label).sum(dim=0)
        # For a one-hot p_y, the divergence is the negative log-likelihood of the label.
        divergence[trained] += F.cross_entropy(logits.double(), each_label, reduction="none").sum(dim=0)
    shares, means = (correct.double() / len(split)).tolist(), (divergence / len(split)).tolist()
    return (
        [shares[index] if index in trained else None for index in range(modules)],
        [_finite(means[index]) if index in trained else None for index in range(modules)],
    )


def _of_last(accuracies: list[float | None]) -> float:
    """Return the accuracy of the last module, which makes the prediction."""
    accuracy = accuracies[-1]
    if accuracy is None:
        raise RuntimeError("the method's logits_by_module returned None for the last module; legal: a tensor")
    return accuracy


def _finite(value: float) -> float | None:
    """Return ``value``, or None if training diverged: JSON has neither NaN nor infinities."""
    return value if math.isfinite(value) else None


def _on_device(split: Split, device: str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
