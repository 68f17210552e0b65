"""The executor of rank 0 in a job: each process of a cell is one process on every rank."""

import os
import selectors
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from bench.config.cell import Cell
from bench.errors import BenchError
from bench.execute.executor import Executor, ExecutorSettings
from bench.execute.job.channel import GoneError
from bench.execute.job.gathering import Follower, Gathering, hosts_of
from bench.execute.job.own_rank import OwnRank
from bench.execute.job.place import place_from_environment
from bench.execute.messages import INTERRUPTED, Answer, Call, Limits
from bench.execute.rank_answers import choose_answer
from bench.execute.rank_context import patience_of

# The failure of one rank breaks the connections of the others. This is how long they may still answer by themselves.
_GRACE_SECONDS = 2.0
# How long a command may take beyond the time-out of its cell: its server has to start, and a killed cell to end.
_SLACK_SECONDS = 120.0
_LONGEST_CHECK_SECONDS = 24 * 3600.0


class JobExecutor:
    """Runs cells over all ranks of the job that ``torchrun`` or ``srun`` has started.

    The other commands are ended when it is left. If one of them ends before, its cell has crashed, and an error then
    ends the sweep: a job cannot get a rank back.

    Args:
        settings: see :class:`~bench.execute.executor.ExecutorSettings`.

    Raises:
        ConfigError: the variables of the job are missing or not legal.
    """

    def __init__(self, settings: ExecutorSettings) -> None:
        self._settings = settings
        self._place = place_from_environment()
        self._own = OwnRank(settings, self._place)
        self._gathering: Gathering | None = None
        self._thread = ThreadPoolExecutor(1, "rank 0")
        self._calls = 0
        self._lost: list[Follower] = []
        self._is_interrupted = False
        self._ready: set[str] = set()  # the allocators whose servers have loaded torch on every rank

    def check(self, cell: Cell) -> Answer:
        """Checks the data, the device and the compiler of ``cell`` on every rank."""
        return self._together(Call(task="check", cells=(cell,)), _LONGEST_CHECK_SECONDS)

    def measure(self, cell: Cell) -> Answer:
        """Runs the passes of ``cell`` that are not timed, in one process on every rank."""
        return self._run(Call(task="measure", cells=(cell,)), self._settings.timeout_seconds)

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:
        """Times ``cells``, in one process on every rank."""
        call = Call(task="time", cells=tuple(cells), process=process, loops=loops)
        return self._run(call, self._settings.timeout_seconds * len(cells))

    def split(self, jobs: int, threads: int) -> Sequence[Executor]:
        """Not of use: a cell on several ranks runs beside no other.

        Raises:
            BenchError: always.
        """
        del threads
        raise BenchError(f"--jobs {jobs} with --executor torchrun, whose cells take all ranks; legal: 1")

    def __enter__(self) -> Self:
        """Waits for the other commands.

        Raises:
            BenchError: one has not come in time, or runs another version.
        """
        self._gathering = Gathering(self._place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the cell that runs, and the other commands."""
        self._own.cancel()
        self._thread.shutdown()
        for follower in self._followers:
            with suppress(GoneError):
                follower.channel.send(Call(task="end"))
        if self._gathering is not None:
            self._gathering.close()

    @property
    def _followers(self) -> list[Follower]:
        everybody = [] if self._gathering is None else self._gathering.followers
        return [follower for follower in everybody if follower not in self._lost]

    def _run(self, call: Call, seconds: float) -> Answer:
        """Has every rank answer ``call``, once all of them can begin at the same time.

        A server that has to load torch first would let the other ranks wait for longer than they do.
        """
        allocator = call.cells[0].allocator
        if allocator not in self._ready and self.check(call.cells[0]).status == "ok":
            self._ready.add(allocator)
        answer = self._together(call, seconds)
        if answer.status != "ok":
            self._ready.clear()  # a server may have been ended with its cell
        return answer

    def _together(self, call: Call, seconds: float) -> Answer:
        """Has every rank answer ``call``; ``seconds`` is the time-out of its process."""
        if self._gathering is None:
            raise BenchError("a job was asked for a cell before its ranks have met")
        if self._lost:
            lost = self._lost[0]
            raise BenchError(
                f"no cell can run: the command of rank {lost.rank} of {self._place.ranks} on {lost.host} has ended; "
                "the same job goes on from the records that are stored"
            )
        self._calls += 1
        call = call.model_copy(update={"meeting": f"sid-bench/{self._gathering.token}/{self._calls}"})
        answers: list[Answer | None] = [None] * self._place.ranks
        with _Wait(self._thread.submit(self._own.answer, call)) as wait:
            for follower in self._followers:
                wait.add(follower)
            try:
                for follower in self._followers:
                    with suppress(GoneError):  # which the next line finds as well
                        follower.channel.send(call)
                self._collect(wait, answers, seconds + _SLACK_SECONDS, ends_with_first_failure=True)
            except KeyboardInterrupt:
                if self._is_interrupted or not any(follower.channel.is_gone() for follower in self._followers):
                    raise
                # torchrun ends this command, because another one has ended, which is the failure of the cell.
                self._collect(wait, answers, _SLACK_SECONDS, ends_with_first_failure=True)
            if None in answers:
                self._cancel(wait, answers)
        patience = patience_of(Limits(timeout_seconds=seconds))
        return self._with_hosts(choose_answer(answers, patience))

    def _collect(
        self, wait: "_Wait", answers: list[Answer | None], seconds: float, *, ends_with_first_failure: bool
    ) -> None:
        """Waits for all answers, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        while None in answers and (remaining := deadline - time.monotonic()) > 0:
            for ready in wait.ready(remaining):
                if isinstance(ready, Answer):
                    answers[0] = ready
                    continue
                try:
                    answers[ready.rank] = self._received(ready)
                except (GoneError, ValueError):
                    self._lose(ready, answers)
                wait.remove(ready)
            if ends_with_first_failure and any(answer is not None and answer.status != "ok" for answer in answers):
                deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)

    def _received(self, follower: Follower) -> Answer:
        """The answer of a rank; one that is final has its host in the message, which may be the only one at fault.

        Raises:
            GoneError: its command has ended.
            KeyboardInterrupt: its command was interrupted, and so is the sweep.
        """
        line = follower.channel.receive(_SLACK_SECONDS)
        if line == INTERRUPTED.line().strip():
            self._is_interrupted = True
            raise KeyboardInterrupt
        answer = Answer.parse(line)
        if not answer.final:
            return answer
        message = f"rank {follower.rank} of {self._place.ranks} on {follower.host}: {answer.message}"
        return answer.model_copy(update={"message": message})

    def _cancel(self, wait: "_Wait", answers: Sequence[Answer | None]) -> None:
        """Ends what the ranks without an answer run; a command that does not even answer then is lost."""
        late = list(answers)
        silent = [follower for follower in self._followers if late[follower.rank] is None]
        for follower in silent:
            with suppress(GoneError):
                follower.channel.send(Call(task="cancel"))
        if late[0] is None:
            self._own.cancel()
        self._collect(wait, late, _SLACK_SECONDS, ends_with_first_failure=False)
        for follower in silent:
            if late[follower.rank] is None:
                self._lose(follower, late)

    def _lose(self, follower: Follower, answers: list[Answer | None]) -> None:
        """Notes that a command has ended, which is the failure of its rank.

        torchrun ends all commands then; this one ends by itself, once the record of the cell is stored.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._lost.append(follower)
        message = f"rank {follower.rank} of {self._place.ranks}: its command on {follower.host} has ended"
        answers[follower.rank] = Answer(status="crashed", message=message, final=True)

    def _with_hosts(self, answer: Answer) -> Answer:
        hosts = {"hosts": hosts_of([*self._followers, *self._lost])}
        members = answer.members and tuple(
            member.model_copy(update={"environment": member.environment | hosts}) for member in answer.members
        )
        environment = answer.environment | hosts if answer.environment else answer.environment
        return answer.model_copy(update={"members": members, "environment": environment})


class _Wait:
    """Waits for the answer of this rank, which a thread computes, and for messages of the other ranks at once."""

    def __init__(self, own: Future[Answer]) -> None:
        self._own = own
        self._selector = selectors.DefaultSelector()
        self._reader, writer = os.pipe()
        self._selector.register(self._reader, selectors.EVENT_READ)
        own.add_done_callback(lambda _: os.close(writer))  # which makes the other end readable

    def add(self, follower: Follower) -> None:
        self._selector.register(follower.channel, selectors.EVENT_READ, follower)

    def remove(self, follower: Follower) -> None:
        self._selector.unregister(follower.channel)

    def ready(self, seconds: float) -> list[Answer | Follower]:
        """What has come within so many seconds: this rank's answer, and ranks that have sent a message or are gone."""
        found: list[Answer | Follower] = []
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                self._selector.unregister(self._reader)
                found.append(self._own.result())
            else:
                found.append(key.data)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._selector.close()
        os.close(self._reader)
