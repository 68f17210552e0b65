"""Times of a step."""

from bench.store.measurements.base import Amount, Frozen, Share, Size


class Shares(Frozen):
    """Seconds per step in the forward, backward and optimizer phases, measured separately from the ratio.

    ``backward_seconds`` is None for a rule that computes gradients by hand without reporting the phase; the time then
    counts as forward. The work of threads that the step has started counts for the phase in which the step waits.
    """

    forward_seconds: Amount
    backward_seconds: Amount | None
    optimizer_seconds: Amount


class StepUsage(Frozen):
    """What the kernel counted per step over all threads of the process: page faults and context switches.

    Minor faults are pages that the allocator has given back and fetches again. Voluntary switches are threads that wait
    for each other asleep instead of spinning.
    """

    minor_faults: Amount
    voluntary_switches: Amount
    involuntary_switches: Amount


class TimedProcess(Frozen):
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

    median_seconds: Amount
    bp_median_seconds: Amount
    usage: StepUsage | None
    bp_usage: StepUsage | None
    parallel_efficiency: list[Amount] | None
    exchange_speed: list[Amount] | None = None


class Latency(Frozen):
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

    median_seconds: Amount
    iqr_seconds: Amount
    bp_median_seconds: Amount
    bp_iqr_seconds: Amount
    ratio_to_bp: Amount
    ratio_ci95: tuple[Amount, Amount]
    samples_per_second: Amount
    noisy_because: str | None
    shares: Shares | None
    loops: Size
    warm_up_steps: Size
    blocks_by_process: list[Size]
    blocks_seconds: list[tuple[Amount, Amount, Amount, Amount]]
    processes: list[TimedProcess] | None
    compile_seconds: float | None = None
    locked_shares: list[Share] | None = None
