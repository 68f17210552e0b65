"""The record of a cell: versioned, with raw values and units in its names.

Bytes are integers, times are in seconds, accuracies and rates are shares in [0, 1], KL is in nats. What was not
measured is None (``null``), never 0.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.config.cell import BUILT_IN_AXES, Cell

SCHEMA: Final = 3

Status = Literal["ok", "oom", "timeout", "crashed", "skipped"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CreatedBytes(_Frozen):
    """Bytes of storages that the step has created, by what they are for and where they were made.

    An activation was made in a forward part of the step and was still held when the next backward part began;
    everything else is temporary. The trunk's are those that its operators made, forward and backward.
    """

    activation_trunk: int
    activation_modules: int
    temporary_trunk: int
    temporary_modules: int


class Timeline(_Frozen):
    """Live bytes that the step has created, after ``at[i]`` of its ``operators`` operators, peaks of each stretch kept.

    ``phase`` has a letter a point: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for another rank.
    """

    operators: int
    at: list[int]
    phase: str
    activation_trunk: list[int]
    activation_modules: list[int]
    temporary_trunk: list[int]
    temporary_modules: list[int]


class Allocator(_Frozen):
    """The same step in the eyes of the allocator, the second instrument.

    ``peak_bytes`` is the largest sum of what was allocated since the step began, workspaces inside operators included;
    ``between_operators_bytes`` the largest sum at the end of an operator, which is what the exact instrument can see;
    ``workspace_bytes`` their difference. ``disagreement`` is the share by which ``between_operators_bytes`` differs
    from the exact instrument. ``reserved_bytes`` (CUDA's caching allocator) and ``device_bytes`` (the process on the
    device, by NVML) are None where there is no such thing.
    """

    source: Literal["cpu-profiler", "cuda-caching-allocator"]
    peak_bytes: int
    between_operators_bytes: int
    workspace_bytes: int
    disagreement: float
    reserved_bytes: int | None
    device_bytes: int | None


class Memory(_Frozen):
    """Bytes in one training step; the total is the peak of activations plus everything persistent.

    ``at_peak`` sums up to ``peak_activation_bytes``. ``at_peak``, ``timeline`` and ``allocator`` are None in records
    of schema 1, which did not measure them.
    """

    peak_activation_bytes: int
    peak_total_bytes: int
    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    input_bytes: int
    at_peak: CreatedBytes | None
    timeline: Timeline | None
    allocator: Allocator | None


class Shares(_Frozen):
    """Seconds that a step spends forward, backward and in the optimizer, timed apart from the ratio.

    ``backward_seconds`` is None where a rule works gradients out by hand and does not say when: that counts as forward.
    """

    forward_seconds: float
    backward_seconds: float | None
    optimizer_seconds: float


class Latency(_Frozen):
    """Seconds a step, and the ratio to BP from the same interleaved blocks.

    ``blocks_seconds`` holds the raw samples: for each ABBA block the seconds a step of (cell, BP, BP, cell), each the
    mean of ``loops`` steps. ``blocks_by_process`` says how many of them each fresh process ran, in order;
    ``warm_up_steps`` are those of all. ``ratio_ci95`` is a bootstrap interval over processes and blocks.
    ``noisy_because`` says why the ratio is not to be relied on, and is None where it is.
    """

    median_seconds: float
    iqr_seconds: float
    bp_median_seconds: float
    bp_iqr_seconds: float
    ratio_to_bp: float
    ratio_ci95: tuple[float, float]
    samples_per_second: float
    noisy_because: str | None
    shares: Shares | None
    loops: int
    warm_up_steps: int
    blocks_by_process: list[int]
    blocks_seconds: list[tuple[float, float, float, float]]


class Epoch(_Frozen):
    """After one epoch: mean training loss (nats), shares correct, KL(p_y || p_i) of each module on the test set."""

    train_loss: float | None
    validation: Share
    test: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]


class Accuracy(_Frozen):
    """Shares of correct labels, on clean labels. The test set chooses nothing, except for ``test_best_optimistic``.

    What is told by module is None for a module that the rule does not train.
    """

    test_last: Share
    test_mean_last10: Share
    test_at_best_validation: Share
    test_best_optimistic: Share
    validation_last: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]
    realised_noise_rate: Share
    diverged: bool
    epochs: list[Epoch]


class Trace(_Frozen):
    """Who computes when: spans of time of ``steps`` training steps, as columns of one length.

    ``rank`` is 0 where there is one process. ``module`` counts from 1; None is the trunk, or what belongs to no one
    module. ``phase`` has a letter a span: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for
    another rank. ``start_seconds`` and ``end_seconds`` count from the first span's start, on one clock for all ranks. A
    record has no trace where that would have more than 1,000 spans.
    """

    steps: int
    rank: list[int]
    module: list[int | None]
    phase: str
    start_seconds: list[float]
    end_seconds: list[float]


class Ranks(_Frozen):
    """What several ranks give and cost, a number a rank in each list, in order of the ranks.

    ``ratio_to_one_rank`` is the time of a step over that of the same rule on one rank with the same threads, from
    interleaved blocks of one run. ``bound`` is the least that the schedule allows, from phases timed on one rank; None
    where no bound is known. ``busy_share`` is the share of a step's time that a rank does not wait. Bytes are None
    where the memory pass was not asked for.
    """

    modules: list[int]
    ratio_to_one_rank: float | None
    ratio_to_one_rank_ci95: tuple[float, float] | None
    bound: float | None
    busy_share: list[Share] | None
    peak_activation_bytes: list[int] | None
    peak_total_bytes: list[int] | None


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
    """One line of a results file.

    ``id`` is the hash of ``cell``; ``created`` is the time in UTC (ISO 8601); ``attempts`` says how often the cell was
    started, 0 where it was skipped. ``ranks`` is None where there is one. Of several ranks, ``memory`` is that of the
    rank which needs most.
    """

    schema_version: Literal[3] = Field(alias="schema")
    id: str
    status: Status
    message: str | None
    attempts: Annotated[int, Field(ge=0)]
    created: str
    suite: str
    cell: Cell
    data: Data | None
    parameters: int | None
    memory: Memory | None
    latency: Latency | None
    accuracy: Accuracy | None
    trace: Trace | None
    ranks: Ranks | None
    timing: Timing | None
    environment: dict[str, Any]

    @field_validator("cell", mode="before")
    @classmethod
    def _is_complete(cls, cell: Any) -> Any:
        """A default of today must not fill a hole in a stored cell, unless its axis came later."""
        if isinstance(cell, dict):
            missing = [name for name, row in BUILT_IN_AXES.items() if not row.later and name not in cell]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}")
        return cell

    @classmethod
    def parse(cls, content: dict[str, Any]) -> Self:
        """A record from plain data; its cell may name methods and data that this machine does not know.

        Raises:
            pydantic.ValidationError: a part is missing or not legal.
        """
        return cls.model_validate(content)

    def line(self) -> str:
        """The record as one line of JSON, without the line feed."""
        return self.model_dump_json(by_alias=True)
