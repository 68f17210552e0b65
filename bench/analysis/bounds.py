"""Lower bounds on the activation bytes of a training step on a cascade network, computed from shapes alone.

Each bound sums the tensors that must exist at one moment of a step, given the operators of the network: inputs that a
linear layer or a convolution needs for the gradient of its weights, outputs that ReLU, softmax and pooling need for
their backward pass, and gradients in flight. An autograd operator allocates its result and the gradient of its weight;
the operators inside a module may work in place. Parameters, gradient buffers, optimizer state and the input batch are
not activations. A measured peak cannot be below its bound; the difference is memory that the implementation holds but
does not need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from bench.config.cell import Cell

_FLOAT_BYTES = 4
_INDEX_FLOATS = 2  # max pooling saves the index of each maximum as an int64


@dataclass(frozen=True)
class _Operator:
    """Sizes of an operator of the trunk, in floats.

    Attributes:
        saved: floats per sample saved for the backward pass.
        input_gradient: floats per sample of the gradient with respect to the input.
        weights: floats of the weights, independent of the batch size.
    """

    saved: int = 0
    input_gradient: int = 0
    weights: int = 0


@dataclass(frozen=True)
class _Module:
    """Sizes of the modules of a cascade, in floats per sample.

    Attributes:
        count: L, the number of modules.
        stacked: size of a module's input, the features and the belief concatenated.
        hidden: size of a hidden layer.
        layers: hidden layers per module.
        classes: C, the number of logits.
        features: size of the trunk's output.
    """

    count: int
    stacked: int
    hidden: int
    layers: int
    classes: int
    features: int

    @property
    def saved(self) -> int:
        """Floats per sample that autograd saves for one module: inputs of linear layers and the softmax's output."""
        return self.stacked + self.layers * self.hidden + self.classes


def lower_bound_bytes(cell: Cell, shape: tuple[int, int, int], classes: int) -> int | None:
    """Return a lower bound on the peak activation bytes of a step of ``cell``, or None where no bound is known.

    Bounds are known for some rules on some cascade networks, in float32 and without micro-batches.

    Args:
        cell: the cell.
        shape: channels, height and width of an image.
        classes: C, the number of classes.
    """
    floats_in_modules = _IN_MODULES.get((cell.method, cell.recompute)) if cell.micro_batches is None else None
    trunk = _TRUNKS.get(cell.network)
    if floats_in_modules is None or trunk is None or cell.precision != "float32":
        return None
    layers = cell.depth // cell.modules
    module = _Module(cell.modules, classes + cell.width, cell.hidden, layers, classes, cell.width)
    operators = trunk(shape, cell.width)
    saved_by_trunk = sum(operator.saved for operator in operators)
    in_modules = cell.batch_size * (saved_by_trunk + floats_in_modules(module))
    return _FLOAT_BYTES * max(in_modules, _backward_through_trunk(operators, cell.width, cell.batch_size))


def _bp(module: _Module) -> int:
    """Floats per sample when the last hidden layer's gradient is computed: saved by all modules, plus that gradient."""
    return module.count * module.saved + module.hidden


def _checkpoint(module: _Module) -> int:
    """Floats per sample of every module's input and one recomputed module.

    From the second module that runs backward, the gradient of the features exists, too.
    """
    again = module.features + module.stacked + module.layers * module.hidden + module.classes + module.hidden
    last = again + module.count * module.classes
    before_last = again + module.features + (module.count - 1) * module.classes
    return max(last, before_last) if module.count > 1 else last


def _published(module: _Module) -> int:
    """Floats per sample as for BP, plus the beliefs of the teacher pass."""
    return _bp(module) + module.count * module.classes


def _streamed(module: _Module) -> int:
    """Floats per sample of one module with the gradient of its last hidden layer.

    With more than one module, the next belief and the gradient of the features exist, too.
    """
    one = module.stacked + module.layers * module.hidden + module.hidden + module.classes
    return one + (module.features + module.classes if module.count > 1 else 0)


# Keyed by method and the axis ``recompute``. Stored records call ``bp`` with ``recompute = modules`` bp-checkpoint.
_IN_MODULES: dict[tuple[str, str], Callable[[_Module], int]] = {
    ("bp", "none"): _bp,
    ("bp", "modules"): _checkpoint,
    ("bp-checkpoint", "none"): _checkpoint,
    ("sid-published", "none"): _published,
    ("sid-streamed", "none"): _streamed,
}


def _linear_trunk(shape: tuple[int, int, int], width: int) -> list[_Operator]:
    return [_Operator(weights=prod(shape) * width)]  # its input is the batch, which is not an activation


def _convolutional_trunk(shape: tuple[int, int, int], width: int) -> list[_Operator]:
    """Return the operators of :func:`sid_core.convolutional_trunk`; a tensor saved by two is counted at the first."""
    channels, height, width_pixels = shape
    full = height * width_pixels
    half = (height // 2) * (width_pixels // 2)
    quarter = (height // 4) * (width_pixels // 4)
    return [
        _Operator(weights=32 * channels * 9),
        _Operator(saved=32 * full, input_gradient=32 * full),  # ReLU
        _Operator(input_gradient=32 * full, weights=64 * 32 * 9),
        _Operator(saved=64 * full, input_gradient=64 * full),  # ReLU
        _Operator(saved=_INDEX_FLOATS * 64 * half, input_gradient=64 * full),  # max pooling
        _Operator(saved=64 * half, input_gradient=64 * half, weights=128 * 64 * 9),
        _Operator(saved=128 * half, input_gradient=128 * half),  # ReLU
        _Operator(input_gradient=128 * half, weights=128 * 128 * 9),
        _Operator(saved=128 * half, input_gradient=128 * half),  # ReLU
        _Operator(saved=_INDEX_FLOATS * 128 * quarter, input_gradient=128 * half),  # max pooling
        _Operator(input_gradient=128 * quarter),  # mean
        _Operator(saved=128, input_gradient=128, weights=128 * width),
    ]


_TRUNKS: dict[str, Callable[[tuple[int, int, int], int], list[_Operator]]] = {
    "cascade-linear": _linear_trunk,
    "cascade-conv": _convolutional_trunk,
}


def _backward_through_trunk(operators: list[_Operator], width: int, batch_size: int) -> int:
    """Return the largest number of floats at the backward pass of any operator.

    At an operator, these floats exist: tensors saved by it and the operators before it, the gradient of its output,
    and the gradients of its input and weights.
    """
    still_saved = accumulate(operator.saved for operator in operators)
    output_gradients = [*(operator.input_gradient for operator in operators[1:]), width]
    return max(
        batch_size * (saved + output_gradient + operator.input_gradient) + operator.weights
        for operator, saved, output_gradient in zip(operators, still_saved, output_gradients, strict=True)
    )
