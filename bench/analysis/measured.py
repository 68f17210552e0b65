"""What was measured of a training step, as far as a plan is compared with it: bytes, and time relative to BP."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.config.cell import Cell
from bench.store.measurements.memory import Memory
from bench.store.record import Record

Kind = Literal["cpu", "cuda"]

# What CUDA's caching allocator rounds the size of each storage up to, in bytes.
CUDA_ROUNDS_TO = 512


class Measured(BaseModel):
    """One cell on one rank that was measured.

    Attributes:
        cell: the cell.
        shape: ``(channels, height, width)`` of its images.
        classes: their number of classes.
        machine: the GPU, or the CPU of a cell on it.
        torch: the version of PyTorch.
        exact_bytes: the peak total by the exact instrument; None where it did not count.
        allocator_bytes: the peak total by the allocator, workspaces inside operators included; None likewise.
        context_bytes: what the process held on the GPU beside the memory of PyTorch's allocator: CUDA's context and
            libraries; None on the CPU and where the driver did not say.
        ratio: step time divided by BP's; None where it was not timed.
        ratio_ci95: its interval.
        processes: how many processes timed it.
        is_noisy: whether the ratio cannot be relied on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    shape: tuple[int, int, int]
    classes: int
    machine: str | None = None
    torch: str | None = None
    exact_bytes: int | None = None
    allocator_bytes: int | None = None
    context_bytes: int | None = None
    ratio: float | None = None
    ratio_ci95: tuple[float, float] | None = None
    processes: int = 0
    is_noisy: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of device that it was measured on."""
        return kind_of(self.cell.device)

    @property
    def total_bytes(self) -> int | None:
        """What a prediction is compared with: on a GPU what its allocator handed out, on the CPU the exact count."""
        return self.allocator_bytes if self.kind == "cuda" else self.exact_bytes


def kind_of(device: str) -> Kind:
    """Return the kind of ``device``, which is ``cpu``, ``cuda`` or ``cuda:N``."""
    return "cpu" if device == "cpu" else "cuda"


def measured_of(records: Iterable[Record]) -> list[Measured]:
    """Return what ``records`` on one rank say of bytes and times, in order; those of compiled steps are left out."""
    found = []
    for record in records:
        is_exact = record.memory is None or record.memory.instrument == "exact"
        has_costs = record.memory is not None or record.latency is not None
        if record.status == "ok" and record.cell.ranks == 1 and record.data is not None and is_exact and has_costs:
            found.append(_measured(record, record.data.shape, record.data.classes))
    return found


def _measured(record: Record, shape: tuple[int, int, int], classes: int) -> Measured:
    environment, latency = record.environment, record.latency
    machine = environment.get("gpu") or environment.get("cpu")
    torch = environment.get("torch")
    return Measured(
        cell=record.cell,
        shape=shape,
        classes=classes,
        machine=None if machine is None else str(machine),
        torch=None if torch is None else str(torch),
        **_bytes(record.memory),
        ratio=None if latency is None else latency.ratio_to_bp,
        ratio_ci95=None if latency is None else latency.ratio_ci95,
        processes=0 if latency is None else len(latency.blocks_by_process),
        is_noisy=latency is not None and latency.noisy_because is not None,
    )


def _bytes(memory: Memory | None) -> dict[str, int | None]:
    if memory is None:
        return {}
    persistent = memory.peak_total_bytes - memory.peak_activation_bytes
    allocator = memory.allocator
    if allocator is None:
        return {"exact_bytes": memory.peak_total_bytes}
    is_known = allocator.device_bytes is not None and allocator.reserved_bytes is not None
    return {
        "exact_bytes": memory.peak_total_bytes,
        "allocator_bytes": allocator.peak_bytes + persistent,
        "context_bytes": (allocator.device_bytes or 0) - (allocator.reserved_bytes or 0) if is_known else None,
    }
