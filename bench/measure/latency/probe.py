"""The parallel efficiency of the CPUs at a moment: whether each of the threads has a core of its own."""

import time

import torch

# PyTorch runs an element-wise operator on fewer elements than this in one thread.
_GRAIN = 32768
_REPEATS = 3


class ParallelProbe:
    """Runs the same work in one thread and in all of them.

    The work is an element-wise operator that computes much and reads little memory, so all that differs is how many
    threads compute at the same time.

    Args:
        threads: the number of threads, 2 or more.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        size = 2 * _GRAIN * threads
        self._whole = torch.linspace(1, 10, size)
        self._pieces = self._whole.split(_GRAIN // 2)
        self._results = torch.empty(size)
        self._parts = self._results.split(_GRAIN // 2)

    def efficiency(self) -> float:
        """Return the time in one thread divided by that in all threads and by their number.

        It is near 1 if each thread has a core of its own, and near half of that where two share one.
        """
        in_one = min(self._time_pieces() for _ in range(_REPEATS))
        in_all = min(self._time_whole() for _ in range(_REPEATS))
        return in_one / in_all / self._threads

    def _time_pieces(self) -> float:
        start = time.perf_counter()
        for piece, part in zip(self._pieces, self._parts, strict=True):
            torch.lgamma(piece, out=part)
        return time.perf_counter() - start

    def _time_whole(self) -> float:
        start = time.perf_counter()
        torch.lgamma(self._whole, out=self._results)
        return time.perf_counter() - start
