"""One traced training step: what it created and held, by module and by category, and when.

Modules, operators, stacks and frames are numbered, and columns refer to them by number. Columns of one table have one
length. Times are seconds from the beginning of the step. Nothing here is stored in a results file.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.store.measurements.base import Phases
from bench.store.measurements.memory import Memory

# What a step creates, which is counted in the peak of activations.
Created = Literal[
    "activations", "recomputed activations", "beliefs", "logits", "gradients", "temporaries", "optimizer temporaries"
]
# What a step holds from its beginning to its end. With the peak of activations it makes the peak of all bytes.
Held = Literal["parameters", "buffers", "parameter gradients", "optimizer state", "batch"]
# The name of what belongs to no module: losses, beliefs between modules, the optimizer, the batch.
OUTSIDE = ""
# Slices of the profile.
STEP = "training step"
CLOCK = "sid-bench clock"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CreatedStorages(_Frozen):
    """The storages that the step created, in order.

    Attributes:
        module: the number of the module whose operator has created each.
        category: what each is for, see ``docs/tracing.md``.
        operator: the number of the operator's name.
        stack: the number of the Python stack.
    """

    module: list[int]
    category: list[Created]
    operator: list[int]
    stack: list[int]


class StorageEvents(_Frozen):
    """Every change of live bytes, in order.

    Attributes:
        seconds: when.
        operators: how many operators had begun.
        phase: one letter per event, as in :class:`bench.store.measurements.memory.Timeline`.
        storage: which of the created storages.
        bytes: the change; negative if live bytes fall.
    """

    seconds: list[float]
    operators: list[int]
    phase: Phases
    storage: list[int]
    bytes: list[int]


class HeldStorages(_Frozen):
    """What the step holds from its beginning to its end: one row per module and tensor, or per shared storage."""

    module: list[int]
    category: list[Held]
    name: list[str]
    bytes: list[Annotated[int, Field(ge=0)]]


class OperatorRuns(_Frozen):
    """Every operator of the step, in order.

    Attributes:
        name: the number of its name.
        module: the number of the module that has called it, or whose backward pass it belongs to.
        phase: one letter per operator.
        start_seconds: when it began.
        end_seconds: when it and the instrument had ended.
    """

    name: list[int]
    module: list[int]
    phase: Phases
    start_seconds: list[float]
    end_seconds: list[float]


class ClockMark(_Frozen):
    """A moment that the profiler has recorded, too.

    Attributes:
        mark: its place among the slices called :data:`CLOCK` in the profile.
        seconds: from the beginning of the step, so it is negative.
    """

    mark: int
    seconds: float


class TracedStep(_Frozen):
    """A step of one cell on one rank.

    Attributes:
        memory: as the memory pass measures it, in the same run.
        modules: the names of all modules of the network in its order, and ``auxiliary`` before those of what the rule
            has beside it; the first is :data:`OUTSIDE`.
        operators: names, such as ``aten::addmm``.
        frames: (file, line, function) of Python code.
        stacks: numbers of frames, innermost first.
        created: what the step created.
        events: when.
        held: what the step held throughout.
        runs: of operators.
        profile: the same step as PyTorch's profiler saw it, in the Chrome trace format; it has a slice called
            :data:`STEP` that is the step.
        clock: leads from its times to those of the step.
        device_snapshot: what PyTorch's recorder of CUDA memory has seen of it; None on the CPU.
    """

    memory: Memory
    modules: list[str]
    operators: list[str]
    frames: list[tuple[str, int, str]]
    stacks: list[list[int]]
    created: CreatedStorages
    events: StorageEvents
    held: HeldStorages
    runs: OperatorRuns
    profile: str
    clock: ClockMark
    device_snapshot: dict[str, Any] | None = None
