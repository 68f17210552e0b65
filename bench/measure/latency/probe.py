"""Probes of the CPUs at a moment: whether threads have a core each, and how fast they read each other's data."""

import time
from collections.abc import Callable

import torch

_ELEMENTS_PER_THREAD = 65536  # PyTorch gives a thread of an element-wise operator half as many or more
_REPEATS = 3
_EXCHANGES = 8  # per timing, about 0.4 ms


def probe_for(device: torch.device) -> "ParallelProbe | None":
    """Make the probe of steps on ``device``; None where they do not compute in several threads of the CPU."""
    threads = torch.get_num_threads()
    return ParallelProbe(threads) if device.type == "cpu" and threads > 1 else None


class ParallelProbe:
    """Runs the same work in one thread and in all of them.

    Args:
        threads: the number of threads that torch computes with, 2 or more.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._values = torch.linspace(1, 10, _ELEMENTS_PER_THREAD * threads)
        self._results = torch.empty_like(self._values)
        elements = torch.arange(_ELEMENTS_PER_THREAD // 2 * threads)
        self._written = torch.zeros(len(elements))
        self._read = torch.zeros_like(self._written)
        self._of_another = elements.view(threads, -1).flip(0).reshape(-1)  # which elements each thread reads

    def efficiency(self) -> float:
        """Return the time in one thread divided by that in all threads and by their number.

        The work is an element-wise operator that computes much and reads little memory, so all that differs is how
        many threads compute at the same time. The result is near 1 if each thread has a core of its own, and near half
        of that where two share one. It takes about 3 ms with two threads.
        """
        return self._speed(lambda: torch.lgamma(self._values, out=self._results)) / self._threads

    def exchange_speed(self) -> float:
        """Return the time in one thread divided by that in all threads, of work on data that another thread wrote.

        The work is short, allocates nothing and fits the caches, so what differs is how long the cores take to hand
        data over, which is what a step of small layers waits for. On two virtual CPUs the result was 0.8 to 1.0 most of
        the time, and 0.3 for seconds or minutes in between. It takes about 3 ms with two threads.
        """
        return self._speed(self._exchange)

    def _exchange(self) -> None:
        for _ in range(_EXCHANGES):
            torch.add(self._read, 1, out=self._written)
            torch.index_select(self._written, 0, self._of_another, out=self._read)

    def _speed(self, work: Callable[[], object]) -> float:
        """Return the time of ``work`` in one thread divided by that in all threads."""
        torch.set_num_threads(1)
        try:
            in_one = _shortest(work)
        finally:
            torch.set_num_threads(self._threads)
        return in_one / _shortest(work)


def _shortest(work: Callable[[], object]) -> float:
    """Return the shortest of a few times of ``work``, in seconds."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
