"""The least activation bytes that a training rule can do with on a cascade, from shapes alone.

Each bound adds up what has to be held at one moment of a step, given the operators of the network: inputs that a linear
layer or a convolution needs for its weights' gradient, results that ReLU, softmax and pooling need for theirs,
gradients on their way. An operator of autograd makes its result, and the gradient of a weight, anew; a module's own
operators may work in place. Parameters, gradient buffers, optimizer state and the input batch are not activations. A
measured peak can't lie below its bound; how far it lies above is what the implementation holds beyond need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from bench.config.cell import Cell

_FLOAT_BYTES = 4
_INDEX_FLOATS = 2  # max pooling keeps the place of each maximum as an int64


@dataclass(frozen=True)
class _Operator:
    """An operator of the trunk, in floats: kept for its backward pass and made by it, a sample; its weights."""

    kept: int = 0
    input_gradient: int = 0
    weights: int = 0


@dataclass(frozen=True)
class _Module:
    """A module, in floats a sample: L of them, each with an input, n hidden layers of h, and C logits."""

    count: int
    stacked: int
    hidden: int
    layers: int
    classes: int
    features: int

    @property
    def kept(self) -> int:
        """What autograd keeps of one module: inputs of its linear layers, and the result of its softmax."""
        return self.stacked + self.layers * self.hidden + self.classes


def lower_bound_bytes(cell: Cell, shape: tuple[int, int, int], classes: int) -> int | None:
    """The least peak activation bytes of a step of ``cell`` on images of ``shape``; None where no bound is known.

    There is one for some rules, in float32.

    Args:
        cell: of a cascade network.
        shape: channels, height and width of an image.
        classes: C.
    """
    held = _HELD.get((cell.method, cell.recompute)) if cell.micro_batches is None else None
    trunk = _TRUNKS.get(cell.network)
    if held is None or trunk is None or cell.precision != "float32":
        return None
    layers = cell.depth // cell.modules
    module = _Module(cell.modules, classes + cell.width, cell.hidden, layers, classes, cell.width)
    operators = trunk(shape, cell.width)
    kept_by_trunk = sum(operator.kept for operator in operators)
    in_modules = cell.batch_size * (kept_by_trunk + held(module))
    return _FLOAT_BYTES * max(in_modules, _backward_through_trunk(operators, cell.width, cell.batch_size))


def _bp(module: _Module) -> int:
    """At the gradient of the last hidden layer: every module's share, and that gradient."""
    return module.count * module.kept + module.hidden


def _checkpoint(module: _Module) -> int:
    """Every module's input, and one module computed again; the features' gradient from the second module on."""
    again = module.features + module.stacked + module.layers * module.hidden + module.classes + module.hidden
    last = again + module.count * module.classes
    before_last = again + module.features + (module.count - 1) * module.classes
    return max(last, before_last) if module.count > 1 else last


def _published(module: _Module) -> int:
    """As for BP, and the teacher's beliefs."""
    return _bp(module) + module.count * module.classes


def _streamed(module: _Module) -> int:
    """One module with the gradient of its last hidden layer; the next belief and the features' gradient."""
    one = module.stacked + module.layers * module.hidden + module.hidden + module.classes
    return one + (module.features + module.classes if module.count > 1 else 0)


# By method and what it recomputes; bp-checkpoint is what stored records call bp that recomputes its modules.
_HELD: dict[tuple[str, str], Callable[[_Module], int]] = {
    ("bp", "none"): _bp,
    ("bp", "modules"): _checkpoint,
    ("bp-checkpoint", "none"): _checkpoint,
    ("sid-published", "none"): _published,
    ("sid-streamed", "none"): _streamed,
}


def _linear_trunk(shape: tuple[int, int, int], width: int) -> list[_Operator]:
    return [_Operator(weights=prod(shape) * width)]  # its input is the batch itself


def _convolutional_trunk(shape: tuple[int, int, int], width: int) -> list[_Operator]:
    """The operators of :func:`sid_core.convolutional_trunk`; what two of them keep stands with the first."""
    channels, height, width_pixels = shape
    full = height * width_pixels
    half = (height // 2) * (width_pixels // 2)
    quarter = (height // 4) * (width_pixels // 4)
    return [
        _Operator(weights=32 * channels * 9),
        _Operator(kept=32 * full, input_gradient=32 * full),  # ReLU
        _Operator(input_gradient=32 * full, weights=64 * 32 * 9),
        _Operator(kept=64 * full, input_gradient=64 * full),  # ReLU
        _Operator(kept=_INDEX_FLOATS * 64 * half, input_gradient=64 * full),  # max pooling
        _Operator(kept=64 * half, input_gradient=64 * half, weights=128 * 64 * 9),
        _Operator(kept=128 * half, input_gradient=128 * half),  # ReLU
        _Operator(input_gradient=128 * half, weights=128 * 128 * 9),
        _Operator(kept=128 * half, input_gradient=128 * half),  # ReLU
        _Operator(kept=_INDEX_FLOATS * 128 * quarter, input_gradient=128 * half),  # max pooling
        _Operator(input_gradient=128 * quarter),  # mean
        _Operator(kept=128, input_gradient=128, weights=128 * width),
    ]


_TRUNKS: dict[str, Callable[[tuple[int, int, int], int], list[_Operator]]] = {
    "cascade-linear": _linear_trunk,
    "cascade-conv": _convolutional_trunk,
}


def _backward_through_trunk(operators: list[_Operator], width: int, batch_size: int) -> int:
    """The most floats at any operator: what is still kept, the gradient that comes in, those that go out."""
    still_kept = accumulate(operator.kept for operator in operators)
    arriving = [*(operator.input_gradient for operator in operators[1:]), width]
    return max(
        batch_size * (kept + incoming + operator.input_gradient) + operator.weights
        for operator, kept, incoming in zip(operators, still_kept, arriving, strict=True)
    )
