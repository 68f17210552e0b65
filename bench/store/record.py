"""The record of a cell: versioned, with raw values, and with units in the names of its fields.

Bytes are integers, times are in seconds, accuracies and rates are fractions in [0, 1], KL divergences are in nats. A
value that was not measured is None (``null``), never 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.config.cell import BUILT_IN_AXES, Cell
from bench.config.networks import Layout
from bench.machine.system import printable
from bench.store.correct import Correct

SCHEMA: Final = 4
FIRST_KEY: Final = b'{"schema":'  # how the line of a record begins

Status = Literal["ok", "oom", "timeout", "crashed", "skipped"]
Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[float, Field(ge=-1e9, le=1e9)]  # seconds from the first span of a trace
Phases = Annotated[str, Field(pattern="^[fbsw]*$")]


# The nesting of what a record holds without a schema of its own: the environment, and values of added axes.
_DEEPEST = 20
_ALWAYS_SOUND = frozenset({str, int, bool, type(None)})  # types of values, apart from how deep they are


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


def _of_one_length(columns: Mapping[str, Sequence[object] | None]) -> None:
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {', '.join(f'{name} {size}' for name, size in lengths.items())}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CreatedBytes(_Frozen):
    """Bytes of storages that the step created, by purpose and by the part of the network that created them.

    An activation was created in a forward phase of the step and still existed when the next backward phase began; all
    other storages are temporary. Storages of the trunk are those that its operators created, forward and backward.
    """

    activation_trunk: int
    activation_modules: int
    temporary_trunk: int
    temporary_modules: int


class Timeline(_Frozen):
    """Live bytes of storages that the step created, as columns of one length.

    Point ``i`` is the moment with the most live bytes in an interval of the step.

    Attributes:
        operators: number of operators in the step.
        at: number of operators that ran before each point.
        phase: one letter per point: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for a rank.
        activation_trunk: bytes at each point; likewise the other categories of :class:`CreatedBytes`.
    """

    operators: int
    at: list[int]
    phase: Phases
    activation_trunk: list[int]
    activation_modules: list[int]
    temporary_trunk: list[int]
    temporary_modules: list[int]

    @model_validator(mode="after")
    def _has_columns_of_one_length(self) -> Self:
        _of_one_length({name: value for name, value in self if name != "operators"})
        return self


class Allocator(_Frozen):
    """Bytes of the same step as counted by the allocator, the second instrument.

    On the CPU there is none for a step that computes in several threads: the profiler, which counts there, sees the
    allocations of one.

    Attributes:
        source: the instrument.
        peak_bytes: peak of the bytes allocated since the step began, workspaces inside operators included.
        between_operators_bytes: peak at the ends of operators, which is all that the exact instrument can observe.
        workspace_bytes: the difference of the two.
        disagreement: relative difference of ``between_operators_bytes`` from the exact count.
        reserved_bytes: bytes reserved by CUDA's caching allocator; None on the CPU.
        device_bytes: bytes of the process on the device, by NVML; None on the CPU or if NVML does not report them.
    """

    source: Literal["cpu-profiler", "cuda-caching-allocator"]
    peak_bytes: int
    between_operators_bytes: int
    workspace_bytes: int
    disagreement: float
    reserved_bytes: int | None
    device_bytes: int | None


class Memory(_Frozen):
    """Bytes in one training step; the total is the peak of activations plus all persistent bytes.

    The sum of ``at_peak`` is ``peak_activation_bytes``. ``at_peak``, ``timeline`` and ``allocator`` are None in records
    of schema 1, which did not measure them, and where ``instrument`` is ``allocator``.

    Attributes:
        instrument: what has counted ``peak_activation_bytes``: the exact instrument, or the allocator's for compiled
            steps, into which the exact one does not see. Counts of different instruments are not compared.
        bp_peak_activation_bytes: of BP's step by the allocator's instrument; None where the instrument is ``exact``.
        bp_peak_total_bytes: likewise.
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
    instrument: Literal["exact", "allocator"] = "exact"
    bp_peak_activation_bytes: int | None = None
    bp_peak_total_bytes: int | None = None


class Shares(_Frozen):
    """Seconds per step in the forward, backward and optimizer phases, measured separately from the ratio.

    ``backward_seconds`` is None for a rule that computes gradients by hand without reporting the phase; the time then
    counts as forward. The work of threads that the step has started counts for the phase in which the step waits.
    """

    forward_seconds: float
    backward_seconds: float | None
    optimizer_seconds: float


class StepUsage(_Frozen):
    """What the kernel counted per step over all threads of the process: page faults and context switches.

    Minor faults are pages that the allocator has given back and fetches again. Voluntary switches are threads that wait
    for each other asleep instead of spinning.
    """

    minor_faults: float
    voluntary_switches: float
    involuntary_switches: float


class TimedProcess(_Frozen):
    """One process of the latency pass.

    Attributes:
        median_seconds: of the cell's step.
        bp_median_seconds: of BP's step beside it.
        usage: of the cell's steps; None on several ranks.
        bp_usage: of BP's steps; None on several ranks.
        parallel_efficiency: before each block, the time of some work in one thread divided by that in all threads and
            by their number; None with one thread, on several ranks and on CUDA.
        exchange_speed: before each block, the time in one thread divided by that in all threads, of work in which each
            thread reads what another has written; None likewise, and in records that lack it.
    """

    median_seconds: float
    bp_median_seconds: float
    usage: StepUsage | None
    bp_usage: StepUsage | None
    parallel_efficiency: list[float] | None
    exchange_speed: list[float] | None = None


class Latency(_Frozen):
    """Seconds per step, and the ratio to BP from the same interleaved blocks.

    ``blocks_seconds`` holds the raw samples: for each ABBA block, the seconds per step of (cell, BP, BP, cell), each
    the mean of ``loops`` steps. ``blocks_by_process`` is the number of blocks of each process, in order;
    ``warm_up_steps`` is the sum over processes. ``ratio_ci95`` is an interval over processes; with one, over blocks.
    ``noisy_because`` is the reason why the ratio cannot be relied on, or None. ``processes`` has one entry per process;
    None in records that lack it. ``compile_seconds`` is how much longer the first step took than the second, with no
    compiled code from before; None for a step that is not compiled. ``locked_shares`` is, for each process, the
    fraction of a traced step for which a module is locked, averaged over modules; None in records that lack it, and
    where a trace does not tell the modules apart.
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
    processes: list[TimedProcess] | None
    compile_seconds: float | None = None
    locked_shares: list[Share] | None = None


class Epoch(_Frozen):
    """Results after one epoch: mean training loss (nats), accuracies, and KL(p_y || p_i) per module on the test set.

    ``validation`` is measured on labels with the noise of the training labels, and is None where it was not measured:
    records of schemas 1 to 3 hold only ``validation_clean``, on clean labels.
    """

    train_loss: float | None
    validation: Share | None
    validation_clean: Share
    test: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]


class Beliefs(_Frozen):
    """What the beliefs of a trained network are like on the test set with clean labels: columns with a value by module.

    Values are None for a module that the rule does not train. Those that are computed from probabilities are also None
    where training diverged.

    Attributes:
        calibration_error: the expected calibration error with 15 bins of equal width (Guo et al., arXiv 1706.04599).
        changed_share: the fraction of images for which the module predicts another class than the module before; None
            for the first.
        descent_violated_share: the fraction of images with ``KL(p_y || p_i) > (1 - alpha) * KL(p_y || p_{i-1})``. The
            optimum of SID's local objective never has it. None for a rule without that objective, and in direction
            ``reverse``. With alpha 1 the bound is 0, which no belief reaches.
        descent_excess: the mean over all images of what exceeds that bound, in nats; None likewise.
    """

    calibration_error: list[Share | None]
    changed_share: list[Share | None]
    descent_violated_share: list[Share | None]
    descent_excess: list[Annotated[float, Field(ge=0)] | None]

    @model_validator(mode="after")
    def _has_a_value_per_module(self) -> Self:
        _of_one_length(dict(self))
        return self


class WrongLabels(_Frozen):
    """What a trained network predicts for the training images whose label is wrong; the fractions sum to 1.

    Attributes:
        images: their number.
        learned_share: the fraction for which it predicts the wrong label.
        corrected_share: the true label.
        other_share: another one.
    """

    images: Annotated[int, Field(ge=1)]
    learned_share: Share
    corrected_share: Share
    other_share: Share


class Accuracy(_Frozen):
    """Fractions of correct predictions; of test images, on clean labels.

    Values per module are None for a module that the rule does not train. Values that records of schemas 1 to 3 lack are
    None in them. In a record without label noise, noisy and clean validation labels are the same.

    Attributes:
        test_last: after the last epoch.
        test_mean_last10: the mean over the last ten epochs, or over all if there are fewer.
        test_at_best_validation: after the epoch with the highest ``validation``, the first of equals. Its labels are as
            noisy as those of training, so a practitioner can choose this epoch.
        test_at_best_clean_validation: the same by ``validation_clean``, whose labels a practitioner does not have.
        test_best_optimistic: the highest of all epochs; the only value for which the test set selects anything.
        validation_last: after the last epoch, on labels with the noise of the training labels.
        validation_clean_last: the same on clean labels.
        test_by_module: after the last epoch, by module.
        kl_by_module: KL(p_y || p_i) on the test set in nats, after the last epoch, by module.
        realised_noise_rate: the fraction of training labels that are wrong.
        realised_validation_noise_rate: the fraction of noisy validation labels that are wrong.
        diverged: a loss or a divergence is not finite.
        correct_last: which test images were predicted correctly after the last epoch.
        correct_at_best_validation: the same after the epoch of ``test_at_best_validation``.
        epochs: the results after each epoch.
        beliefs_last: after the last epoch. This and the next three are None in records from before they were measured.
        beliefs_at_best_validation: after the epoch of ``test_at_best_validation``.
        wrong_labels_last: after the last epoch; None if no training label is wrong.
        wrong_labels_at_best_validation: likewise after the epoch of ``test_at_best_validation``.
        first_epochs: the epochs for which BP has trained another network before, from which the rule has learned; None
            for a rule that trains one network only, and in records from before there were others.
    """

    test_last: Share
    test_mean_last10: Share
    test_at_best_validation: Share | None
    test_at_best_clean_validation: Share
    test_best_optimistic: Share
    validation_last: Share | None
    validation_clean_last: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]
    realised_noise_rate: Share
    realised_validation_noise_rate: Share | None
    diverged: bool
    correct_last: Correct | None
    correct_at_best_validation: Correct | None
    epochs: Annotated[list[Epoch], Field(min_length=1)]
    beliefs_last: Beliefs | None = None
    beliefs_at_best_validation: Beliefs | None = None
    wrong_labels_last: WrongLabels | None = None
    wrong_labels_at_best_validation: WrongLabels | None = None
    first_epochs: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _counts_what_its_bits_say(self) -> Self:
        for when in ("last", "at_best_validation"):
            correct: Correct | None = getattr(self, f"correct_{when}")
            share: float | None = getattr(self, f"test_{when}")
            if correct is None:
                continue
            held = float(correct.decode().mean())
            if share is None or not math.isclose(share, held, abs_tol=1e-9):
                raise ValueError(f"test_{when} = {share}, and correct_{when} holds {held}; legal: equal numbers")
        return self


class Inference(_Frozen):
    """A prediction of the network, in evaluation mode and without gradients, beside one of the plain network.

    The plain network is that of the same cell with one module: trunk or backbone, and one head.

    Attributes:
        peak_activation_bytes: peak of the storages that a prediction creates.
        peak_total_bytes: that and the parameters, buffers and images that it reads.
        plain_peak_activation_bytes: of a prediction of the plain network.
        plain_peak_total_bytes: likewise.
        median_seconds: of a prediction for one batch.
        plain_median_seconds: of the plain network.
        ratio_to_plain: of the times, from the same interleaved blocks.
        ratio_ci95: its interval, over processes and blocks.
        samples_per_second: images that are predicted in a second.
        noisy_because: why the ratio cannot be relied on, in words that call the plain network BP; None if it can.
        loops: predictions per leg.
        warm_up_predictions: of both networks, before the first block, summed over processes.
        blocks_by_process: the number of blocks of each process, in order.
        blocks_seconds: for each block the seconds per prediction of (network, plain, plain, network).
        processes: one entry per process, with the plain network in the place of BP.
    """

    peak_activation_bytes: int
    peak_total_bytes: int
    plain_peak_activation_bytes: int
    plain_peak_total_bytes: int
    median_seconds: float
    plain_median_seconds: float
    ratio_to_plain: float
    ratio_ci95: tuple[float, float]
    samples_per_second: float
    noisy_because: str | None
    loops: int
    warm_up_predictions: int
    blocks_by_process: list[int]
    blocks_seconds: list[tuple[float, float, float, float]]
    processes: list[TimedProcess] | None


class Trace(_Frozen):
    """The spans of ``steps`` training steps, as columns of one length: which module computes when.

    A record has no trace if it would have more than 1,000 spans.

    Attributes:
        steps: number of steps.
        rank: rank of each span; 0 with one process.
        module: module of each span, from 1; None for the trunk and for work that belongs to no single module.
        phase: one letter per span: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for another rank.
        start_seconds: start of each span after that of the first span, on one clock for all ranks.
        end_seconds: end of each span, on the same clock.
    """

    steps: Annotated[int, Field(ge=1)]
    rank: list[int]
    module: list[int | None]
    phase: Phases
    start_seconds: list[Moment]
    end_seconds: list[Moment]

    @model_validator(mode="after")
    def _has_spans_of_some_length(self) -> Self:
        _of_one_length({name: value for name, value in self if name != "steps"})
        if self.end_seconds and max(self.end_seconds) <= 0:
            raise ValueError("its spans end before they begin, or take no time")
        return self


class Ranks(_Frozen):
    """Results of several ranks; lists have one value per rank, in order of the ranks.

    Attributes:
        modules: number of modules of each rank.
        ratio_to_one_rank: step time divided by that of the same rule on one rank with the same number of threads per
            rank, from interleaved blocks of one run.
        ratio_to_one_rank_ci95: 95 % interval of the ratio.
        one_rank_blocks_by_process: the number of blocks of each run of the ranks, in order; None in records that lack
            them, as the next one.
        one_rank_blocks_seconds: for each block the seconds per step of (all ranks, one rank, one rank, all ranks).
        bound: the smallest ratio that the schedule allows, from phases timed on one rank; None if unknown.
        busy_share: fraction of the step time in which a rank does not wait.
        peak_activation_bytes: None without the memory pass.
        peak_total_bytes: None without the memory pass.
    """

    modules: list[int]
    ratio_to_one_rank: float | None
    ratio_to_one_rank_ci95: tuple[float, float] | None
    bound: float | None
    busy_share: list[Share] | None
    peak_activation_bytes: list[int] | None
    peak_total_bytes: list[int] | None
    one_rank_blocks_by_process: list[int] | None = None
    one_rank_blocks_seconds: list[tuple[float, float, float, float]] | None = None

    @model_validator(mode="after")
    def _has_a_value_per_rank(self) -> Self:
        names = ("modules", "busy_share", "peak_activation_bytes", "peak_total_bytes")
        _of_one_length({name: getattr(self, name) for name in names})
        return self


class Data(_Frozen):
    """The data of the cell.

    ``fingerprint`` is a hash of the images and labels, ``noise_fingerprint`` of the human labels or the transition
    matrix that the label noise comes from, None where it comes from none.
    """

    classes: int
    shape: tuple[int, int, int]
    train_samples: int
    validation_samples: int
    test_samples: Annotated[int, Field(ge=0)]
    fingerprint: str
    noise_fingerprint: str | None = None

    @property
    def identity(self) -> str:
        """Equal for records that saw the same images, labels and source of noise."""
        return "+".join(filter(None, [self.fingerprint, self.noise_fingerprint]))


class Timing(_Frozen):
    """Seconds of the harness: the work (data, network, passes) and the overhead of the cell."""

    work_seconds: float
    overhead_seconds: float


class Record(_Frozen):
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
    parameters: int | None
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
