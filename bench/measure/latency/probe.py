"""The parallel efficiency of the CPUs at a moment: whether each of the threads has a core of its own."""

import time

import torch

_ELEMENTS_PER_THREAD = 65536  # PyTorch gives a thread of an element-wise operator half as many or more
_REPEATS = 3


def probe_for(device: torch.device) -> "ParallelProbe | None":
    """Make the probe of steps on ``device``; None where they do not compute in several threads of the CPU."""
    threads = torch.get_num_threads()
    return ParallelProbe(threads) if device.type == "cpu" and threads > 1 else None


class ParallelProbe:
    """Runs the same work in one thread and in all of them.

    The work is an element-wise operator that computes much and reads little memory, so all that differs is how many
    threads compute at the same time.

    Args:
        threads: the number of threads that torch computes with, 2 or more.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._values = torch.linspace(1, 10, _ELEMENTS_PER_THREAD * threads)
        self._results = torch.empty_like(self._values)

    def efficiency(self) -> float:
        """Return the time in one thread divided by that in all threads and by their number.

        It is near 1 if each thread has a core of its own, and near half of that where two share one. It takes about 3
        ms with two threads.
        """
        torch.set_num_threads(1)
        try:
            in_one = min(self._time() for _ in range(_REPEATS))
        finally:
            torch.set_num_threads(self._threads)
        return in_one / min(self._time() for _ in range(_REPEATS)) / self._threads

    def _time(self) -> float:
        start = time.perf_counter()
        torch.lgamma(self._values, out=self._results)
        return time.perf_counter() - start
