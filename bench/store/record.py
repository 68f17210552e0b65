"""The record of a cell: versioned, with raw values, and with units in the names of its fields.

Bytes are integers, times are in seconds, accuracies and rates are fractions in [0, 1], KL divergences are in nats. A
value that was not measured is None (``null``), never 0.
"""

import math
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.config.cell import BUILT_IN_AXES, Cell
from bench.config.networks import Layout
from bench.machine.system import printable
from bench.store.correct import Correct
from bench.store.measurements.accuracy import Accuracy
from bench.store.measurements.base import Frozen, Size
from bench.store.measurements.inference import Inference
from bench.store.measurements.latency import Latency
from bench.store.measurements.memory import Memory
from bench.store.measurements.ranks import Ranks
from bench.store.measurements.trace import Trace

SCHEMA: Final = 4
FIRST_KEY: Final = b'{"schema":'  # how the line of a record begins

Status = Literal["ok", "oom", "timeout", "crashed", "skipped"]

# The nesting of what a record holds without a schema of its own: the environment, and values of added axes.
_DEEPEST = 20
_ALWAYS_SOUND = frozenset({str, int, bool, type(None)})  # types of values, apart from how deep they are


class Data(Frozen):
    """The data of the cell.

    ``fingerprint`` is a hash of the images and labels, ``noise_fingerprint`` of the human labels or the transition
    matrix that the label noise comes from, None where it comes from none.
    """

    classes: Size
    shape: tuple[Size, Size, Size]
    train_samples: Size
    validation_samples: Size
    test_samples: Size
    fingerprint: str
    noise_fingerprint: str | None = None

    @property
    def identity(self) -> str:
        """Equal for records that saw the same images, labels and source of noise."""
        return "+".join(filter(None, [self.fingerprint, self.noise_fingerprint]))


class Timing(Frozen):
    """Seconds of the harness: the work (data, network, passes) and the overhead of the cell."""

    work_seconds: float
    overhead_seconds: float


class Record(Frozen):
    """One line of a results file.

    ``id`` is the hash of ``cell``; ``created`` is the time in UTC (ISO 8601); ``attempts`` is the number of times the
    cell was started, 0 if it was skipped. ``layout`` is that of the network, and ``parameters`` the number of its
    parameters; both are None where no network was built, and ``layout`` in records of schemas 1 to 3. ``ranks`` is None
    for a cell on one rank. On several ranks, ``memory`` is that of the rank that needs most. Records from before there
    was an inference pass lack ``inference``, which is then None.
    """

    schema_version: Literal[4] = Field(alias="schema")
    id: str
    status: Status
    message: str | None
    attempts: Annotated[int, Field(ge=0)]
    created: str
    suite: str
    cell: Cell
    data: Data | None
    layout: Layout | None
    parameters: Size | None
    memory: Memory | None
    latency: Latency | None
    accuracy: Accuracy | None
    trace: Trace | None
    ranks: Ranks | None
    timing: Timing | None
    environment: dict[str, Any]
    inference: Inference | None = None

    @field_validator("environment", mode="before")
    @classmethod
    def _is_sound(cls, environment: Any) -> Any:
        _check_free(environment)
        return environment

    @field_validator("suite", "message", mode="before")
    @classmethod
    def _is_printable(cls, text: Any) -> Any:
        """Write the name of a file that is not UTF-8 with escapes."""
        return printable(text) if isinstance(text, str) else text

    @field_validator("cell", mode="before")
    @classmethod
    def _is_complete(cls, cell: Any) -> Any:
        """Reject a stored cell that lacks an axis, unless the axis was added later and so has a default."""
        if isinstance(cell, dict):
            _check_free(cell)
            missing = [name for name, row in BUILT_IN_AXES.items() if not row.later and name not in cell]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}")
        return cell

    @model_validator(mode="after")
    def _predicts_each_test_image(self) -> Self:
        if self.accuracy is None or self.data is None:
            return self
        for name in ("correct_last", "correct_at_best_validation"):
            correct: Correct | None = getattr(self.accuracy, name)
            if correct is not None and correct.images != self.data.test_samples:
                raise ValueError(
                    f"accuracy.{name}.images = {correct.images}; legal: data.test_samples, {self.data.test_samples}"
                )
        return self

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Self:
        """Return a record from plain data; its cell may name methods and data sets that are not installed.

        Raises:
            pydantic.ValidationError: a field is missing or illegal.
        """
        return cls.model_validate(content)

    def line(self) -> str:
        """Return the record as one line of JSON, without a line feed."""
        return self.model_dump_json(by_alias=True)


def _check_free(value: Any, depth: int = 0) -> None:
    """Check a value whose type is free.

    Raises:
        ValueError: it is nested too deeply, or a number in it is not finite.
    """
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it holds {value}, which is no finite number")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        if type(part) not in _ALWAYS_SOUND or depth == _DEEPEST:
            _check_free(part, depth + 1)
