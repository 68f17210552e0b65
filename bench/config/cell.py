"""A cell: everything that one measurement needs, checked once, frozen and hashable."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from bench.config.alpha import LEGAL_ALPHA, alpha_by_module
from bench.config.catalog import BACKBONE_UNITS, DATASETS, NETWORKS, dataset_info
from bench.config.label import label
from bench.config.methods import method_names
from bench.config.settle import settle
from bench.errors import ConfigError, unknown

Pass = Literal["memory", "latency", "accuracy"]
Precision = Literal["float32", "bfloat16"]
NoiseKind = Literal["none", "symmetric-exclusive", "symmetric-inclusive", "pairflip", "asymmetric"]

PASSES: tuple[Pass, ...] = ("memory", "latency", "accuracy")

# A stored record may come from a machine with other plug-ins: its names are taken as they are.
STORED = {"stored": True}

# What an optimizer means where the cell leaves it open: Adam as in the paper's code, SGD as practitioners tune it.
_PRESETS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant"},
    "sgd": {"learning_rate": 0.05, "weight_decay": 5e-4, "schedule": "cosine"},
}


# Fields that came after the first results were stored. At their default they stay out of the id, which so stays what it
# was: a default of theirs never changes.
_LATER_FIELDS: dict[str, Any] = {
    "threads": None,
    "processes": 1,
    "direction": "forward",
    "smoothing": None,
    "loss_reduction": "sum",
    "cut": "even",
    "ranks": 1,
    "precision": "float32",
    "compile": False,
    "chunk": None,
    "micro_batches": None,
}


def _known_method(name: str, info: ValidationInfo) -> str:
    if info.context != STORED and name not in method_names():
        raise ValueError(unknown("method", name, method_names()))
    return name


def _known_network(name: str, info: ValidationInfo) -> str:
    if info.context != STORED and name not in NETWORKS:
        raise ValueError(unknown("network", name, NETWORKS))
    return name


def _known_dataset(name: str, info: ValidationInfo) -> str:
    if info.context != STORED:
        try:
            dataset_info(name)
        except KeyError:
            raise ValueError(unknown("dataset", name, DATASETS)) from None
    return name


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


Size = Annotated[int, Field(ge=1, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True), AfterValidator(_plain_zero)]


class Cell(BaseModel):
    """One measurement, complete: with a cell and the data, anybody can run it again.

    Fields that do not bear on the method are brought to one value (``alpha`` to None for a method without one,
    ``direction`` to ``forward`` for a method without a local objective, ``smoothing`` to None in direction ``forward``,
    ``chunk`` and ``micro_batches`` to None where they are as if unset, ``noise_kind`` to ``none`` at rate 0,
    ``processes`` to 1 without the latency pass, ``width`` of a pipeline and ``cut`` of all that can be cut in one way
    only to their defaults), so that two cells which mean the same are equal and have one hash. An ``alpha`` as a text,
    ``FIRST..LAST``, becomes one number a module.

    Raises:
        pydantic.ValidationError: a field is not legal; :func:`make_cell` turns it into a ConfigError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    method: Annotated[str, AfterValidator(_known_method)] = Field("bp", description="a name: the training rule")
    network: Annotated[str, AfterValidator(_known_network)] = Field(
        "cascade-linear", description="a name: the network, the same for all methods"
    )
    dataset: Annotated[str, AfterValidator(_known_dataset)] = Field(
        "digits", description="a name: the data set; image-folder:NAME for the folder NAME of the data root"
    )
    depth: Size = Field(
        4,
        description="an integer of 1 or more: hidden layers of all modules together; of a pipeline, its fixed number "
        "of units, if unset",
    )
    modules: Size = Field(
        4,
        description="an integer of 1 or more that divides depth: how many modules it is cut into; of a pipeline, 1 to "
        "depth",
    )
    cut: Literal["even", "balanced"] = Field(
        "even", description="even or balanced: a pipeline's stages are alike in units, or in bytes of activations"
    )
    width: Size = Field(
        128,
        description="an integer of 1 or more: features that the trunk hands to the modules (d), and a stage of "
        "pipeline-linear to the next",
    )
    hidden: Size = Field(256, description="an integer of 1 or more: width of each hidden layer of a module")
    batch_size: Size = Field(128, description="an integer of 1 or more: samples a step")
    alpha: Annotated[float | tuple[float, ...] | None, BeforeValidator(_legal_alpha)] = Field(
        0.5, description=f"{LEGAL_ALPHA}: weight of the label in the local objective"
    )
    direction: Literal["forward", "reverse"] = Field(
        "forward", description="forward (as the authors' code) or reverse (as the paper's text): of the divergences"
    )
    smoothing: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="a number in (0, 1): smoothing of the label in direction reverse; if unset, 0.1"
    )
    loss_reduction: Literal["sum", "mean"] = Field(
        "sum", description="sum or mean: how the modules' local losses make the loss of a step"
    )
    chunk: Size | None = Field(
        None, description="an integer of 1 or more: modules that sid-vectorised runs at once, at most; if unset, all"
    )
    micro_batches: Size | None = Field(
        None,
        description="an integer of 1 or more: parts of a batch; if unset, 4 for bp-microbatch, the number of ranks for "
        "schedules of BP on ranks",
    )
    optimizer: Literal["adam", "sgd"] = Field("adam", description="adam, or sgd with momentum 0.9")
    learning_rate: Annotated[Number, Field(gt=0)] = Field(
        1e-3, description="a number above 0; if unset, 0.001 for adam, 0.05 for sgd"
    )
    weight_decay: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="a number of 0 or more; if unset, 0 for adam, 0.0005 for sgd"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="constant or cosine; if unset, constant for adam, cosine for sgd"
    )
    epochs: Size = Field(10, description="an integer of 1 or more: epochs of the accuracy pass")
    train_samples: Annotated[int, Field(ge=2, strict=True)] | None = Field(
        None, description="an integer of 2 or more: at most so many training samples"
    )
    noise_kind: NoiseKind = Field(
        "symmetric-exclusive",
        description="none, symmetric-exclusive, symmetric-inclusive, pairflip or asymmetric",
    )
    noise_rate: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0, description="a number in [0, 1]: probability with which a training label is corrupted"
    )
    image_size: Size | None = Field(
        None, description="an integer of 1 or more: height and width; for random, image-folder"
    )
    channels: Size | None = Field(None, description="an integer of 1 or more: for random; 1 or 3 for image-folder")
    classes: Annotated[int, Field(ge=2, strict=True)] | None = Field(
        None, description="an integer of 2 or more: for random"
    )
    latency_seconds: Annotated[Number, Field(gt=0)] = Field(
        2.0, description="a number above 0: how long the latency pass samples, warm-up apart"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = Field(
        0, description="an integer of 0 or more: of the weights, the data order, the split and the noise"
    )
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = Field("cpu", description="cpu, cuda or cuda:N")
    precision: Precision = Field("float32", description="float32, or bfloat16 (by autocast): what the step computes in")
    compile: Annotated[bool, Field(strict=True)] = Field(
        False, description="true or false: trunk and modules run through torch.compile; for latency and accuracy"
    )
    threads: Size | None = Field(
        None, description="an integer of 1 or more: threads that torch computes with; if unset, torch decides"
    )
    ranks: Size = Field(
        1, description="an integer of 1 or more, at most modules: processes that share each step, for methods that can"
    )
    processes: Size = Field(1, description="an integer of 1 or more: fresh processes that the latency pass runs in")
    passes: Annotated[tuple[Pass, ...], Field(min_length=1), AfterValidator(_passes_in_order)] = Field(
        PASSES, description="one or more of memory, latency, accuracy: what is measured"
    )

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, data: Any, info: ValidationInfo) -> Any:
        """Fills in presets and drops what does not bear on the cell; the fields are checked after this, as given."""
        if not isinstance(data, dict):
            return data
        if info.context == STORED:  # complete already; a default of today must not fill a hole
            missing = [name for name in cls.model_fields if name not in data and name not in _LATER_FIELDS]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}")
            return data
        data = dict(data)
        preset = _PRESETS.get(str(data.get("optimizer", "adam")), {})
        for name, value in preset.items():
            if data.get(name) is None:
                data[name] = value
        if "depth" not in data and str(data.get("network")) in BACKBONE_UNITS:
            data["depth"] = BACKBONE_UNITS[data["network"]]
        if "modules" not in data:
            data["modules"] = data.get("depth", cls.model_fields["depth"].default)
        alpha, modules = data.get("alpha"), data["modules"]
        if isinstance(alpha, str):
            if isinstance(modules, int) and modules >= 1:
                data["alpha"] = alpha_by_module(alpha, modules)
            else:  # that is the error to tell
                del data["alpha"]
        return data

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        if info.context != STORED:
            settle(self)
        return self

    @property
    def id(self) -> str:
        """16 hexadecimal digits, the same for equal cells in every process, on every machine."""
        fields = self.model_dump(mode="json")
        for name, default in _LATER_FIELDS.items():
            if fields[name] == default:
                del fields[name]
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def objective(self) -> dict[str, Any]:
        """The keywords that :mod:`bench.config.methods` passes to a method with a local objective."""
        smoothing = {} if self.smoothing is None else {"smoothing": self.smoothing}
        return {"direction": self.direction, "reduction": self.loss_reduction, **smoothing}

    def label(self) -> str:
        """The cell on one line, for a person."""
        usual = {name: field.default for name, field in type(self).model_fields.items()}
        return label(self, usual | _PRESETS.get(self.optimizer, {}))


def make_cell(values: dict[str, Any]) -> Cell:
    """A checked cell.

    Raises:
        ConfigError: an unknown field, or a value that is not legal; the message names field, value and legal values.
    """
    try:
        return Cell.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """The problems of ``error``, one a line: field, value, what is legal."""
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            line = unknown("axis", field, Cell.model_fields)
        elif problem["type"] == "value_error":
            line = str(problem["ctx"]["error"])
        else:
            description = Cell.model_fields[field].description if field in Cell.model_fields else None
            line = f"{field} = {problem['input']!r}; legal: {description or problem['msg']}"
        if line not in lines:
            lines.append(line)
    return "; ".join(lines)
