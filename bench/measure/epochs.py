"""Training for some epochs, with an evaluation after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bench.config.cell import Cell
from bench.measure.evaluation import evaluate, finite
from bench.measure.training import Training
from bench.store.measurements.accuracy import Epoch
from bench.train.step import TrainingStep

State = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """What became of a network.

    Attributes:
        held: the network, and what the rule has beside it, with their last weights.
        epochs: the results after each epoch.
        correct: which test images were predicted correctly after each epoch, bool ``[N]``, on the CPU.
        chosen: the index of the first epoch with the highest accuracy on noisy validation labels.
        chosen_states: the state dictionaries of ``held`` after that epoch; empty if it is the last one.
    """

    held: Sequence[nn.Module]
    epochs: list[Epoch]
    correct: list[Tensor]
    chosen: int
    chosen_states: Sequence[State]

    def load_chosen(self) -> None:
        """Give the network the weights of the chosen epoch."""
        load_states(self.held, self.chosen_states)


def train_epochs(cell: Cell, step: TrainingStep, training: Training) -> Trained:
    """Train for ``cell.epochs`` epochs, and evaluate each on clean labels.

    The weights of the chosen epoch are copied to the CPU.

    Args:
        cell: its epochs are used.
        step: whose network is trained and evaluated.
        training: trains it.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    data = training.data
    epochs: list[Epoch] = []
    correct: list[Tensor] = []
    held = [step.plain_network or step.network, *([] if step.auxiliary is None else [step.auxiliary])]
    chosen, chosen_states = 0, list[State]()  # of the epochs so far
    for epoch in range(cell.epochs):
        if epoch and chosen == epoch - 1:  # before training changes it
            chosen_states = states_of(held)
        train_loss = training.train_epoch()
        tested, validated = evaluate(step, data.test), evaluate(step, data.validation)
        correct.append(tested.predictions == data.clean_test)
        epochs.append(
            Epoch(
                train_loss=finite(train_loss),
                validation=_share(validated.predictions == data.noisy_validation),
                validation_clean=_share(validated.predictions == data.clean_validation),
                test=_share(correct[-1]),
                test_by_module=tested.accuracies,
                kl_by_module=tested.divergences,
            )
        )
        chosen = first_best([epoch.validation for epoch in epochs])
    return Trained(held, epochs, correct, chosen, chosen_states if chosen < cell.epochs - 1 else ())


def states_of(modules: Sequence[nn.Module]) -> list[State]:
    """Copies of the state dictionaries, on the CPU."""
    return list(map(_copy_of_state, modules))


def load_states(modules: Sequence[nn.Module], states: Sequence[State]) -> None:
    """Give modules the states of :func:`states_of`; without states they stay as they are."""
    if states:
        for module, state in zip(modules, states, strict=True):
            module.load_state_dict(state)


def first_best(shares: Sequence[float | None]) -> int:
    """Return the index of the highest share, the first of equals."""
    return max(range(len(shares)), key=lambda index: shares[index] or 0.0)


def _share(correct: Tensor) -> float:
    """Return the fraction of true values."""
    return float(correct.double().mean())


def _copy_of_state(module: nn.Module) -> State:
    return {
        name: value.to("cpu", copy=True) if isinstance(value, Tensor) else value
        for name, value in module.state_dict().items()
    }
