"""A check of whether the CPUs compute at their own speed when all of them are busy."""

import hashlib
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from bench.machine.doctor.check import Check, judge
from bench.machine.system import System

_LEAST_SHARE = 0.75
_ITERATIONS = 20_000  # about 10 ms
_REPEATS = 9


def cores_at_once(system: System) -> Check:
    """Compares the speed of a CPU while it computes alone with that while all usable CPUs compute.

    Virtual CPUs that share a core are slower together; they may do so for seconds or minutes only, and show no other
    sign of it.
    """
    cpus = system.core_count
    if cpus is None or cpus < 2:
        return judge("CPUs at once", None if cpus is None else "one CPU", False, "")
    share = speed_at_once(cpus)
    return judge(
        "CPUs at once",
        f"each of {cpus} CPUs has {100 * share:.0f} % of its speed while all compute",
        share < _LEAST_SHARE,
        "CPUs share a core or are taken by others: run --threads 1, which such a state changes least",
    )


def speed_at_once(threads: int) -> float:
    """Return the speed of the slowest of ``threads`` threads that compute at once, over that of one alone.

    It is the median over pairs of runs, each alone and then together, so that another process which comes and goes
    disturbs both runs of a pair alike.
    """
    with ThreadPoolExecutor(threads) as pool:
        shares = [_compute() / max(pool.map(lambda _: _compute(), range(threads))) for _ in range(_REPEATS)]
    return statistics.median(shares)


def _compute() -> float:
    """Return the seconds of a fixed computation, which runs without Python's global lock."""
    start = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"sid-bench", b"salt", _ITERATIONS)
    return time.perf_counter() - start
