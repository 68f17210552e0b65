"""What one process has measured before a record is made of it: plain data that travels between processes."""

from pydantic import BaseModel, ConfigDict

from bench.store.measurements.latency import StepUsage


class Sample(BaseModel):
    """The timings of one process, for the process that computes the statistics of all of them.

    Attributes:
        blocks_seconds: for each block the seconds per step of (cell, BP, BP, cell), each the mean of ``loops`` steps;
            the two of one leg are in the order in which they ran, and every second block ran BP first and last.
        loops: steps per leg.
        warm_up_steps: steps of both kinds that ran before the first block.
        usage: what the kernel counted in the cell's legs; None if some of their work was in other processes.
        bp_usage: likewise in BP's legs.
        parallel_efficiency: see :class:`bench.store.measurements.latency.TimedProcess`; one per block.
        exchange_speed: likewise.
        compile_seconds: see :class:`bench.store.measurements.latency.Latency`; None in all processes but the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks_seconds: list[tuple[float, float, float, float]]
    loops: int
    warm_up_steps: int
    usage: StepUsage | None = None
    bp_usage: StepUsage | None = None
    parallel_efficiency: list[float] | None = None
    exchange_speed: list[float] | None = None
    compile_seconds: float | None = None


class PredictionBytes(BaseModel):
    """Bytes of one prediction, and of one of the plain network; see :mod:`bench.store.measurements.inference`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peak_activation_bytes: int
    peak_total_bytes: int
    plain_peak_activation_bytes: int
    plain_peak_total_bytes: int
