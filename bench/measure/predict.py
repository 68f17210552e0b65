"""The memory pass foretold: the same two steps on tensors that have sizes and no contents."""

import torch

from bench.cell import Cell
from bench.errors import BenchError, first_line
from bench.measure.hollow import ContentsNeededError, hollow_tensors
from bench.measure.memory import measure_memory
from bench.measure.step import build_step
from bench.record import Memory


def predict_memory(cell: Cell, shape: tuple[int, int, int], classes: int, round_to: int = 1) -> Memory:
    """What :func:`bench.measure.memory.measure_memory` would measure, to the byte, without arithmetic.

    The network, its gradients, the optimizer's state and the batch are hollow tensors: they go through the same steps
    under the same instrument and hold no memory, so neither time nor memory grows with the size of a tensor.

    Args:
        cell: its method, network and sizes are read; its device must be ``cpu``, and the bytes are the same on others.
        shape: ``(channels, height, width)`` of an image.
        classes: the number of classes.
        round_to: each storage counts as the next multiple of so many bytes; CUDA's caching allocator rounds to 512.

    Raises:
        BenchError: the method asks for the contents of a tensor, or uses an operator that has no meta kernel.
    """
    with hollow_tensors():
        step = build_step(cell, shape, classes)
        images = torch.empty(cell.batch_size, *shape)
        labels = torch.empty(cell.batch_size, dtype=torch.int64)
        try:
            return measure_memory(step, images, labels, round_to, ask_allocator=False)
        except ContentsNeededError as error:
            reason = str(error)
        except (RuntimeError, TypeError) as error:
            if "meta" not in str(error).lower():
                raise
            reason = first_line(error)
    raise BenchError(f"method {cell.method!r} can be measured, but not planned: {reason}")
