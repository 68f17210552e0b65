"""The bytes that exist before a step begins and after it has ended."""

from typing import Any

from torch import Tensor

from bench.measure.memory.storages import bytes_of
from bench.train.step import Step


def persistent_bytes(step: Step, images: Tensor, labels: Tensor, round_to: int = 1) -> dict[str, Any]:
    """Return the persistent bytes of a step that has run, by the names of :class:`bench.store.record.Memory`.

    Args:
        step: the training step.
        images: one batch.
        labels: of the batch.
        round_to: the bytes of each storage are rounded up to a multiple of this.
    """
    parameters = [parameter for module in step.held for parameter in module.parameters()]
    buffers = [buffer for module in step.held for buffer in module.buffers()]
    optimizer_state = [
        value
        for optimizer in step.optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    return {
        "parameter_bytes": bytes_of(parameters, round_to),
        "buffer_bytes": bytes_of(buffers, round_to),
        "gradient_bytes": bytes_of([parameter.grad for parameter in parameters], round_to),
        "optimizer_bytes": bytes_of(optimizer_state, round_to),
        "input_bytes": bytes_of([images, labels], round_to),
    }
