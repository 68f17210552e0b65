"""The own rank of a command: it runs one process of each cell, as the rank that the command is."""

import threading
from dataclasses import replace

from bench.errors import BenchError
from bench.execute.executor import ExecutorSettings, Share
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.messages import Answer, Call, Place


class OwnRank:
    """Answers calls, one at a time, each in a fresh process.

    Args:
        settings: of the sweep, which are the same on all ranks; all ranks share a limit of memory.
        place: of this command.
    """

    def __init__(self, settings: ExecutorSettings, place: Place) -> None:
        limit = settings.memory_limit_bytes
        self._settings = replace(settings, memory_limit_bytes=None if limit is None else limit // place.ranks)
        self._place = place
        self._lock = threading.Lock()
        self._executor: ForkServerExecutor | None = None
        self._is_cancelled = False

    def answer(self, call: Call) -> Answer:
        """Runs the process of ``call`` and waits for its end; a failure is an answer, never an exception."""
        with self._lock:
            self._is_cancelled = False
            if self._executor is None:
                share = Share(number=0, jobs=self._place.local_ranks, threads=0)
                self._executor = ForkServerExecutor(self._settings, share=share)
            executor = self._executor
            executor.place = self._place.model_copy(update={"meeting": call.meeting})
        try:
            if call.task == "check":
                return executor.check(call.cells[0])
            if call.task == "measure":
                return executor.measure(call.cells[0])
            return executor.time(call.cells, call.process, call.loops)
        except BenchError as error:
            if self._is_cancelled:
                return Answer(status="crashed", message="was ended", caused_by_another_rank=True)
            return Answer(status="crashed", message=str(error), final=True)

    def cancel(self) -> None:
        """Ends the process that runs, from another thread, after which :meth:`answer` returns soon."""
        with self._lock:
            self._is_cancelled = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.__exit__(None, None, None)
