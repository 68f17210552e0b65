"""The bytes that exist before a step begins and after it has ended."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bench.measure.memory.storages import bytes_of
from bench.train.step import Step, TrainingStep
from sid_core.pipeline import PipelineModule


def persistent_bytes(step: Step, images: Tensor, labels: Tensor, round_to: int = 1) -> dict[str, Any]:
    """Return the persistent bytes of a step that has run.

    Names are those of :class:`bench.store.measurements.memory.Memory`.

    Args:
        step: the training step.
        images: one batch.
        labels: of the batch.
        round_to: the bytes of each storage are rounded up to a multiple of this.
    """
    states = [state for optimizer in step.optimizers for state in optimizer.state.values()]
    return {**_held_bytes(step.held, states, round_to), "input_bytes": bytes_of([images, labels], round_to)}


def head_bytes(step: Step, round_to: int = 1) -> int:
    """Return the persistent bytes of a step that has run that belong to heads of stages and to auxiliary modules.

    These are their parameters, buffers, gradients and optimizer state.

    Args:
        step: the training step, or that of a rank, which has the heads of its own modules.
        round_to: the bytes of each storage are rounded up to a multiple of this.
    """
    held = list(step.held)
    auxiliary: list[nn.Module] = []
    if isinstance(step, TrainingStep):
        held = [step.plain_network or step.network]
        auxiliary = [] if step.auxiliary is None else [step.auxiliary]
    parts = [part for module in held for part in module.modules()]
    beside = [*(part.head for part in parts if isinstance(part, PipelineModule)), *auxiliary]
    parameters = {parameter for module in beside for parameter in module.parameters()}
    states = [optimizer.state[one] for optimizer in step.optimizers for one in parameters if one in optimizer.state]
    return sum(_held_bytes(beside, states, round_to).values())


def _held_bytes(modules: Sequence[nn.Module], states: Iterable[Mapping[str, Any]], round_to: int) -> dict[str, int]:
    """Return the bytes of parameters, buffers and gradients of ``modules``, and of ``states`` of an optimizer."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    buffers = [buffer for module in modules for buffer in module.buffers()]
    optimizer_state = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    return {
        "parameter_bytes": bytes_of(parameters, round_to),
        "buffer_bytes": bytes_of(buffers, round_to),
        "gradient_bytes": bytes_of([parameter.grad for parameter in parameters], round_to),
        "optimizer_bytes": bytes_of(optimizer_state, round_to),
    }
