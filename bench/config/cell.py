"""A cell: everything that one measurement needs, frozen and hashable.

:func:`bench.config.check.make_cell` builds a cell from what a suite or a person says. A stored cell is parsed by the
class itself, which knows no names of methods, networks and data sets: a record may come from a machine with others.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bench.config.alpha import LEGAL_ALPHA, alpha_text
from bench.config.axis import Axis

Pass = Literal["memory", "latency", "accuracy", "inference"]
Precision = Literal["float32", "bfloat16"]
NoiseKind = Literal["none", "symmetric-exclusive", "symmetric-inclusive", "pairflip", "asymmetric", "human", "matrix"]
Recompute = Literal["none", "trunk", "modules", "selective", "all"]

PASSES: tuple[Pass, ...] = ("memory", "latency", "accuracy", "inference")
# Where a cell does not say. It must never change: ids of stored cells are made of it.
DEFAULT_PASSES: tuple[Pass, ...] = ("memory", "latency", "accuracy")
# Those that time something, so that nothing may run beside them.
TIMED_PASSES: frozenset[Pass] = frozenset({"latency", "inference"})
# The parts of a network that each value of ``recompute`` runs again.
RECOMPUTED_PARTS: dict[Recompute, tuple[str, ...]] = {
    "none": (),
    "trunk": ("trunk",),
    "modules": ("modules",),
    "selective": ("modules",),
    "all": ("trunk", "modules"),
}

_TRAINING = frozenset({"latency", "accuracy"})
_ACCURACY = frozenset({"accuracy"})
_LATENCY = frozenset({"latency"})
_TIMED = frozenset({"latency", "inference"})
_COMPUTING = frozenset({"latency", "accuracy", "inference"})
_NOTHING: frozenset[str] = frozenset()


def _passes_in_order(passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
    return tuple(name for name in PASSES if name in passes)


def _legal_alpha(alpha: Any) -> Any:
    values = alpha if isinstance(alpha, list | tuple) else [alpha]
    for value in values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 < value <= 1):
            raise ValueError(f"alpha = {value!r}; legal: {LEGAL_ALPHA}")
    return float(alpha) if isinstance(alpha, int) else alpha


def _plain_zero(value: float) -> float:
    """Minus zero is zero, also in the text that the id is made of."""
    return value + 0.0


def _only(value: Any) -> str:
    return str(value)


# A results file holds integers of 64 bits.
TOO_LARGE = 2**63
Size = Annotated[int, Field(ge=1, lt=TOO_LARGE, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True), AfterValidator(_plain_zero)]
Alpha = Annotated[float | tuple[float, ...] | None, BeforeValidator(_legal_alpha)]


class Cell(BaseModel):
    """One measurement, complete: with a cell and the data, anybody can run it again.

    Every field is an axis; its row (:class:`bench.config.axis.Axis`) says what the stages of the harness need to know
    about it. Fields that are not listed here are axes that another package added; :mod:`bench.config.axes` has the
    table of all.

    Raises:
        pydantic.ValidationError: a value is not legal by itself.
    """

    model_config = ConfigDict(frozen=True, extra="allow", validate_default=True)

    method: Annotated[str, Axis(paired=False, shown="always", text=_only)] = Field(
        "bp", description="a name, or module:attribute: the training rule"
    )
    network: Annotated[str, Axis(panel=True, requirement=True, shown="always", text=_only)] = Field(
        "cascade-linear", description="a name, or module:attribute: the network, the same for all methods"
    )
    dataset: Annotated[str, Axis(panel=True, requirement=True, shown="always", text=_only)] = Field(
        "digits",
        description="a name, or module:attribute: the data set; image-folder:NAME for the folder NAME of the data root",
    )
    depth: Annotated[Size, Axis(requirement=True, shown="always")] = Field(
        4,
        description="an integer of 1 or more: hidden layers of all modules together; of a backbone cut into stages, "
        "its number of units, whatever is given",
    )
    modules: Annotated[Size, Axis(size=True, requirement=True, shown="always", expression=True)] = Field(
        4,
        description="an integer of 1 or more that divides depth: how many modules it is cut into; of a pipeline, 1 to "
        "depth",
    )
    cut: Annotated[
        Literal["even", "balanced"], Axis(panel=True, requirement=True, later=True, text=lambda cut: f"{cut} cut")
    ] = Field(
        "even", description="even or balanced: a pipeline's stages are alike in units, or in bytes of activations"
    )
    width: Annotated[Size, Axis(panel=True, size=True, requirement=True)] = Field(
        128,
        description="an integer of 1 or more: features that the trunk gives to the modules (d), and a stage of "
        "pipeline-linear to the next",
    )
    hidden: Annotated[Size, Axis(panel=True, size=True, requirement=True, shown="always")] = Field(
        256, description="an integer of 1 or more: width of each hidden layer of a module"
    )
    head: Annotated[
        str,
        Axis(requirement=True, later=True, series="unless default", text=lambda head: f"{head} heads"),
    ] = Field(
        "linear",
        description="a name, or module:attribute: the heads of a pipeline's stages, the same for all methods; if "
        "unset, linear, or those of a method that comes with its own",
    )
    batch_size: Annotated[
        Size, Axis(size=True, requirement=True, shown="always", text=lambda size: f"batch {size}")
    ] = Field(128, description="an integer of 1 or more: samples per step")
    alpha: Annotated[
        Alpha, Axis(bears_on=_ACCURACY, paired=False, series="where several", shown="always", expression=True,
                    text=lambda alpha: f"alpha {alpha_text(alpha)}")
    ] = Field(0.5, description=f"{LEGAL_ALPHA}: weight of the label in the local objective")  # fmt: skip
    direction: Annotated[Literal["forward", "reverse"], Axis(paired=False, later=True, series="unless default")] = (
        Field(
            "forward", description="forward (as the authors' code) or reverse (as the paper's text): of the divergences"
        )
    )
    smoothing: Annotated[
        Annotated[Number, Field(gt=0, lt=1)] | None,
        Axis(bears_on=_ACCURACY, paired=False, later=True, series="where several"),
    ] = Field(None, description="a number in (0, 1): smoothing of the label in direction reverse; if unset, 0.1")
    loss_reduction: Annotated[Literal["sum", "mean"], Axis(paired=False, later=True, series="unless default")] = Field(
        "sum", description="sum or mean: how the modules' local losses make the loss of a step"
    )
    chunk: Annotated[Size | None, Axis(paired=False, setting=True, later=True, series="unless default")] = Field(
        None, description="an integer of 1 or more: modules that sid-vectorised runs at once, at most; if unset, all"
    )
    micro_batches: Annotated[
        Size | None,
        Axis(
            paired=False,
            requirement=True,
            later=True,
            series="unless default",
            text=lambda count: f"in {count} micro-batches",
        ),
    ] = Field(
        None,
        description="an integer of 1 or more: parts of a batch, whose gradients add up; if unset, 1, and for schedules "
        "of BP on ranks the number of ranks",
    )
    recompute: Annotated[Recompute, Axis(paired=False, later=True, series="unless default")] = Field(
        "none",
        description="none, trunk, modules (in a pipeline: the blocks of each stage), selective (modules, except "
        "products of matrices and convolutions) or all: what is run again in the backward pass instead of being held",
    )
    activation_memory_budget: Annotated[
        Annotated[Number, Field(ge=0, le=1)] | None,
        Axis(
            paired=False,
            setting=True,
            later=True,
            series="unless default",
            text=lambda budget: f"activation budget {budget:g}",
        ),
    ] = Field(
        None,
        description="a number in [0, 1]: share of the activations that bp-budget holds (torch._functorch.config); if "
        "unset, 1",
    )
    optimizer: Annotated[Literal["adam", "sgd"], Axis(panel=True, shown="always", text=_only)] = Field(
        "adam", description="adam, or sgd with momentum 0.9"
    )
    learning_rate: Annotated[Annotated[Number, Field(gt=0)], Axis(bears_on=_TRAINING)] = Field(
        1e-3, description="a number above 0; if unset, 0.001 for adam, 0.05 for sgd"
    )
    weight_decay: Annotated[Annotated[Number, Field(ge=0)], Axis(bears_on=_TRAINING)] = Field(
        0.0, description="a number of 0 or more; if unset, 0 for adam, 0.0005 for sgd"
    )
    schedule: Annotated[Literal["constant", "cosine"], Axis(bears_on=_ACCURACY)] = Field(
        "constant", description="constant or cosine; if unset, constant for adam, cosine for sgd"
    )
    epochs: Annotated[
        Size, Axis(bears_on=_ACCURACY, shown="always", text=lambda count: f"{count} epoch{'s' * (count != 1)}")
    ] = Field(10, description="an integer of 1 or more: epochs of the accuracy pass")
    train_samples: Annotated[
        Annotated[int, Field(ge=2, lt=TOO_LARGE, strict=True)] | None,
        Axis(bears_on=_ACCURACY, process_memory=True, requirement=True, text=lambda count: f"{count} samples"),
    ] = Field(None, description="an integer of 2 or more: at most so many training samples")
    noise_kind: Annotated[NoiseKind, Axis(bears_on=_ACCURACY, requirement=True, text=_only)] = Field(
        "symmetric-exclusive",
        description="none, symmetric-exclusive, symmetric-inclusive, pairflip, asymmetric, human or matrix",
    )
    noise_rate: Annotated[Annotated[Number, Field(ge=0, le=1)], Axis(bears_on=_ACCURACY)] = Field(
        0.0,
        description="a number in [0, 1]: probability with which a training label is redrawn; if unset, 1 for human and "
        "matrix, else 0",
    )
    noise_source: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        Axis(bears_on=_ACCURACY, requirement=True, later=True, text=lambda source: f"labels of {source}"),
    ] = Field(
        None,
        description="for noise_kind human, FILE or FILE:COLUMN with a label for each training image; for matrix, FILE "
        "with a row of probabilities for each class, or of=FILE:COLUMN for the matrix of such labels; in the data root",
    )
    image_size: Annotated[
        Size | None, Axis(panel=True, size=True, requirement=True, text=lambda size: f"{size}x{size}")
    ] = Field(None, description="an integer of 1 or more: height and width; for random, image-folder")  # fmt: skip
    channels: Annotated[Size | None, Axis(panel=True, size=True, requirement=True)] = Field(
        None, description="an integer of 1 or more: for random; 1 or 3 for image-folder"
    )
    classes: Annotated[
        Annotated[int, Field(ge=2, lt=TOO_LARGE, strict=True)] | None, Axis(panel=True, size=True, requirement=True)
    ] = Field(None, description="an integer of 2 or more: for random")
    latency_seconds: Annotated[
        Annotated[Number, Field(gt=0)], Axis(bears_on=_TIMED, paired=False, text=lambda seconds: f"{seconds:g} s")
    ] = Field(2.0, description="a number above 0: how long a pass that times samples, warm-up apart")
    seed: Annotated[
        Annotated[int, Field(ge=0, lt=TOO_LARGE, strict=True)], Axis(bears_on=_TRAINING, shown="always")
    ] = Field(0, description="an integer of 0 or more: of the weights, the data order, the split and the noise")
    device: Annotated[
        Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")],
        Axis(panel=True, bears_on=_COMPUTING, process_memory=True, requirement=True, text=_only),
    ] = Field("cpu", description="cpu, cuda or cuda:N")
    precision: Annotated[
        Precision, Axis(requirement=True, later=True, series="unless default", text=_only)
    ] = Field("float32", description="float32, or bfloat16 (by autocast): what the step computes in")  # fmt: skip
    compile: Annotated[
        Annotated[bool, Field(strict=True)],
        Axis(requirement=True, later=True, series="unless default", text=lambda _: "compiled"),
    ] = Field(False, description="true or false: trunk and modules run through torch.compile; not for inference")
    threads: Annotated[
        Size | None, Axis(bears_on=_COMPUTING, process_memory=True, later=True, series="where several")
    ] = Field(
        None, description="an integer of 1 or more: threads that torch computes with; if unset, torch decides"
    )  # fmt: skip
    allocator: Annotated[
        Literal["system", "jemalloc", "tcmalloc", "mimalloc"],
        Axis(bears_on=_LATENCY, process_memory=True, requirement=True, later=True, series="where several", text=_only),
    ] = Field(
        "system",
        description="system (that of the C library, or what LD_PRELOAD names), jemalloc, tcmalloc or mimalloc: what "
        "serves the memory of the cell's process; on Linux, where it is installed",
    )
    ranks: Annotated[Size, Axis(paired=False, requirement=True, later=True)] = Field(
        1, description="an integer of 1 or more, at most modules: processes that share each step, for methods that can"
    )
    processes: Annotated[Size, Axis(bears_on=_LATENCY, later=True)] = Field(
        1, description="an integer of 1 or more: fresh processes that the latency pass runs in"
    )
    passes: Annotated[
        Annotated[tuple[Pass, ...], Field(min_length=1), AfterValidator(_passes_in_order)],
        Axis(bears_on=_NOTHING, paired=False, requirement=True),
    ] = Field(DEFAULT_PASSES, description="one or more of memory, latency, accuracy, inference: what is measured")

    @property
    def id(self) -> str:
        """16 hexadecimal digits, the same for equal cells in every process, on every machine.

        Axes that came later stay out of it at their default, so that ids stay what they were. A default of theirs must
        never change.
        """
        fields = self.model_dump(mode="json")
        for name, axis in BUILT_IN_AXES.items():
            if axis.later and fields[name] == axis.default:
                del fields[name]
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _row_of(name: str) -> Axis:
    field = Cell.model_fields[name]
    (row,) = (entry for entry in field.metadata if isinstance(entry, Axis))
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    known: dict[str, Any] = {**row.__dict__, "name": name, "default": default, "description": field.description or ""}
    return Axis(**known)


BUILT_IN_AXES: dict[str, Axis] = {name: _row_of(name) for name in Cell.model_fields}
