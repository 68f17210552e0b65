"""The record of a cell: versioned, with raw values and units in its names.

Bytes are integers, times are in seconds, accuracies and rates are shares in [0, 1], KL is in nats. What was not
measured is None (``null``), never 0.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from bench.cell import STORED, Cell

SCHEMA = 1

Status = Literal["ok", "oom", "timeout", "crashed", "skipped"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Memory(_Frozen):
    """Bytes in one training step; the total is the peak of activations plus everything persistent.

    ``allocator_peak_activation_bytes`` is the CUDA caching allocator's own count of the same step, None on the CPU.
    """

    peak_activation_bytes: int
    peak_total_bytes: int
    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    input_bytes: int
    allocator_peak_activation_bytes: int | None


class Latency(_Frozen):
    """Seconds a step, and the ratio to BP from the same interleaved blocks.

    ``blocks_seconds`` holds the raw samples: for each ABBA block the seconds a step of (cell, BP, BP, cell), each the
    mean of ``loops`` steps. ``ratio_ci95`` is a bootstrap interval over blocks.
    """

    median_seconds: float
    iqr_seconds: float
    bp_median_seconds: float
    bp_iqr_seconds: float
    ratio_to_bp: float
    ratio_ci95: tuple[float, float]
    loops: int
    warm_up_steps: int
    blocks_seconds: list[tuple[float, float, float, float]]


class Epoch(_Frozen):
    """After one epoch: mean training loss (nats), shares correct, KL(p_y || p_i) of each module on the test set."""

    train_loss: float | None
    validation: Share
    test: Share
    test_by_module: list[Share]
    kl_by_module: list[float | None]


class Accuracy(_Frozen):
    """Shares of correct labels, on clean labels. The test set chooses nothing, except for ``test_best_optimistic``."""

    test_last: Share
    test_mean_last10: Share
    test_at_best_validation: Share
    test_best_optimistic: Share
    validation_last: Share
    test_by_module: list[Share]
    kl_by_module: list[float | None]
    realised_noise_rate: Share
    diverged: bool
    epochs: list[Epoch]


class Data(_Frozen):
    """The data that the cell saw."""

    classes: int
    shape: tuple[int, int, int]
    train_samples: int
    validation_samples: int
    test_samples: int
    fingerprint: str


class Timing(_Frozen):
    """Seconds of the harness itself: the work (data, network, passes) and what the cell cost besides."""

    work_seconds: float
    overhead_seconds: float


class Record(_Frozen):
    """One line of a results file. ``id`` is the hash of ``cell``; ``created`` is the time in UTC (ISO 8601)."""

    schema_version: Literal[1] = Field(alias="schema")
    id: str
    status: Status
    message: str | None
    created: str
    suite: str
    cell: Cell
    data: Data | None
    parameters: int | None
    memory: Memory | None
    latency: Latency | None
    accuracy: Accuracy | None
    timing: Timing | None
    environment: dict[str, Any]

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Self:
        """A record from plain data; its cell may name methods and data that this machine does not know.

        Raises:
            pydantic.ValidationError: a part is missing or not legal.
        """
        return cls.model_validate(content, context=STORED)

    def line(self) -> str:
        """The record as one line of JSON, without the line feed."""
        return self.model_dump_json(by_alias=True)
