"""Bytes of a step."""

from typing import Literal, Self

from pydantic import model_validator

from bench.store.measurements.base import Frozen, Phases, Size, require_one_length


class CreatedBytes(Frozen):
    """Bytes of storages that the step created, by purpose and by the part of the network that created them.

    An activation was created in a forward phase of the step and still existed when the next backward phase began; all
    other storages are temporary. Storages of the trunk are those that its operators created, forward and backward.
    """

    activation_trunk: Size
    activation_modules: Size
    temporary_trunk: Size
    temporary_modules: Size


class Timeline(Frozen):
    """Live bytes of storages that the step created, as columns of one length.

    Point ``i`` is the moment with the most live bytes in an interval of the step.

    Attributes:
        operators: number of operators in the step.
        at: number of operators that ran before each point.
        phase: one letter per point: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for a rank.
        activation_trunk: bytes at each point; likewise the other categories of :class:`CreatedBytes`.
    """

    operators: Size
    at: list[Size]
    phase: Phases
    activation_trunk: list[Size]
    activation_modules: list[Size]
    temporary_trunk: list[Size]
    temporary_modules: list[Size]

    @model_validator(mode="after")
    def _has_columnsrequire_one_length(self) -> Self:
        require_one_length({name: value for name, value in self if name != "operators"})
        return self


class Allocator(Frozen):
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
    peak_bytes: Size
    between_operators_bytes: Size
    workspace_bytes: Size
    disagreement: float
    reserved_bytes: Size | None
    device_bytes: Size | None


class Memory(Frozen):
    """Bytes in one training step; the total is the peak of activations plus all persistent bytes.

    The sum of ``at_peak`` is ``peak_activation_bytes``. ``at_peak``, ``timeline`` and ``allocator`` are None in records
    of schema 1, which did not measure them, and where ``instrument`` is ``allocator``.

    Attributes:
        instrument: what has counted ``peak_activation_bytes``: the exact instrument, or the allocator's for compiled
            steps, into which the exact one does not see. Counts of different instruments are not compared.
        bp_peak_activation_bytes: of BP's step by the allocator's instrument; None where the instrument is ``exact``.
        bp_peak_total_bytes: likewise.
    """

    peak_activation_bytes: Size
    peak_total_bytes: Size
    parameter_bytes: Size
    buffer_bytes: Size
    gradient_bytes: Size
    optimizer_bytes: Size
    input_bytes: Size
    at_peak: CreatedBytes | None
    timeline: Timeline | None
    allocator: Allocator | None
    instrument: Literal["exact", "allocator"] = "exact"
    bp_peak_activation_bytes: Size | None = None
    bp_peak_total_bytes: Size | None = None
