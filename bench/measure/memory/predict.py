"""The memory pass, predicted: the same two steps on tensors that have sizes and no contents."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.nn import init
from torch.utils._python_dispatch import TorchDispatchMode

from bench.config.cell import Cell, Precision
from bench.config.methods import load_method
from bench.errors import BenchError, first_line
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.persistent import head_bytes
from bench.measure.memory.simulated_ranks import SimulatedRanks
from bench.store.measurements.memory import Memory
from bench.train.meta_tensors import ContentsNeededError, meta_tensors
from bench.train.ranks.step import build_rank_step
from bench.train.step import Step, build_step

# In what PyTorch says of an operator that has to do without contents. Names of types, as in "MetaFloatType", stand in
# messages about other faults, too.
_OF_NO_CONTENTS = re.compile(r"\bmeta\b|tensor subclasses|fake", re.IGNORECASE)
# By operator, where among its arguments the weight is.
_NORMS = {torch.ops.aten.native_batch_norm.default: 1, torch.ops.aten.native_layer_norm.default: 2}


def predict_memory(cell: Cell, shape: tuple[int, int, int], classes: int, round_to: int = 1) -> Memory:
    """What :func:`bench.measure.memory.measure.measure_memory` would measure of a cell on one rank, to the byte.

    Arguments and errors are those of :func:`predict_memory_by_rank`.
    """
    (memory,) = predict_memory_by_rank(cell, shape, classes, round_to)
    return memory


def predict_memory_by_rank(cell: Cell, shape: tuple[int, int, int], classes: int, round_to: int = 1) -> list[Memory]:
    """What the memory pass would measure on each rank, in order, to the byte, without arithmetic.

    The network, its gradients, the optimizer's state and the batch are meta tensors: they go through the same steps
    under the same instrument and hold no memory, so neither time nor memory grows with the size of a tensor.

    Args:
        cell: its method, network and sizes are read; its device must be ``cpu``, and the bytes are the same on others.
        shape: ``(channels, height, width)`` of an image.
        classes: the number of classes.
        round_to: each storage counts as the next multiple of so many bytes; CUDA's caching allocator rounds to 512.

    Raises:
        BenchError: the method asks for the contents of a tensor, or uses an operator that has no meta kernel, or the
            cell is compiled.
    """
    return [one.memory for one in predict_by_rank(cell, shape, classes, round_to)]


class Prediction(NamedTuple):
    """The prediction for one rank.

    Attributes:
        memory: what would be measured.
        head_bytes: of the persistent bytes, those of :func:`bench.measure.memory.persistent.head_bytes`.
    """

    memory: Memory
    head_bytes: int


def predict_by_rank(cell: Cell, shape: tuple[int, int, int], classes: int, round_to: int = 1) -> list[Prediction]:
    """As :func:`predict_memory_by_rank`, whose arguments and errors it has, with the bytes that belong to heads."""
    reason = load_method(cell.method).not_planned
    if cell.compile:
        raise BenchError("compile = True cannot be planned: what compiled code allocates, only its compiler knows")
    if reason is not None:
        raise BenchError(f"method {cell.method!r} can be measured, but not planned: {reason}")
    with _without_contents(cell.precision):
        images = torch.empty(cell.batch_size, *shape)
        labels = torch.empty(cell.batch_size, dtype=torch.int64)
        predicted = partial(_predicted, images=images, labels=labels, round_to=round_to)
        try:
            if cell.ranks == 1:
                return [predicted(build_step(cell, shape, classes))]
            return _of_ranks(cell, shape, classes, predicted)
        except ContentsNeededError as error:
            reason = str(error)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            reason = f"it reads the contents of a tensor ({error.func})"
        except (RuntimeError, TypeError) as error:
            if not _OF_NO_CONTENTS.search(str(error)):
                raise
            reason = first_line(error)
    raise BenchError(f"method {cell.method!r} can be measured, but not planned: {reason}")


def _predicted(step: Step, images: Tensor, labels: Tensor, round_to: int) -> Prediction:
    memory = measure_memory(step, images, labels, round_to, ask_allocator=False)
    return Prediction(memory, head_bytes(step, round_to))


def _of_ranks(
    cell: Cell, shape: tuple[int, int, int], classes: int, predicted: Callable[[Step], Prediction]
) -> list[Prediction]:
    ranks = SimulatedRanks(cell.ranks)
    predictions = []
    for rank in range(cell.ranks):
        with ranks.enter(rank):
            predictions.append(predicted(build_rank_step(cell, shape, classes)))
    return predictions


class _MixedNorms(TorchDispatchMode):
    """Gives the statistics of fake norms the type of the weights, as the CPU's kernels do for narrower features."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        weight = args[_NORMS[func]] if func in _NORMS else None
        if weight is None:
            return output
        normalised, *statistics = output
        return normalised, *(torch.empty_like(part, dtype=weight.dtype) for part in statistics)


@contextmanager
def _without_contents(precision: Precision) -> Iterator[None]:
    """Make the tensors of the context sizes without contents.

    Autocast ignores meta tensors, which are not on the CPU for it, so tensors of other precisions are PyTorch's
    fake tensors: slower, and known to autocast as what they stand for.
    """
    if precision == "float32":
        with meta_tensors():
            yield
    else:
        # Truncated normal numbers are drawn again until all lie within the bounds, which asks for contents.
        drawn_at_once = patch.object(init, "_no_grad_trunc_normal_", lambda tensor, *_args, **_options: tensor)
        with FakeTensorMode(), _MixedNorms(), drawn_at_once, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # it is compared, not read
            yield
