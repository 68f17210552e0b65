"""What a sweep, its fork server, and the processes of a cell send to each other: one line of JSON per message."""

import json
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from bench.config.cell import Cell, Pass
from bench.config.networks import Layout
from bench.store.measurements.accuracy import Accuracy
from bench.store.measurements.latency import Shares
from bench.store.measurements.memory import Memory
from bench.store.measurements.ranks import Ranks
from bench.store.measurements.trace import Trace
from bench.store.record import Data, Status
from bench.store.sample import PredictionBytes, Sample
from bench.store.traced_step import TracedStep


class Message(BaseModel):
    """A frozen model with one line of JSON as its form between processes."""

    # "constants", so that NaN in an environment is an error and not silently null.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")

    def line(self) -> bytes:
        """The message as one line of ASCII, line feed included.

        Raises:
            ValueError: a number is NaN or infinite, which JSON cannot hold.
        """
        # Not model_dump_json, which refuses the surrogates of a file name that is not UTF-8.
        return json.dumps(self.model_dump(mode="json"), allow_nan=False).encode() + b"\n"

    def send(self, pipe: int) -> None:
        """Writes :meth:`line` to the file descriptor ``pipe``."""
        rest = self.line()
        while rest:
            rest = rest[os.write(pipe, rest) :]

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """The message that :meth:`line` has written.

        Raises:
            ValueError: the line is not JSON, or not such a message.
        """
        return cls.model_validate(json.loads(line))


class Limits(Message):
    """What the process of a cell may use.

    Attributes:
        timeout_seconds: when it is killed, with all processes that it has started.
        memory_bytes: how much it may allocate; None for no limit.
    """

    timeout_seconds: float = Field(gt=0)
    memory_bytes: int | None = Field(default=None, ge=0)


class Place(Message):
    """Which rank of a job a process is, where ``torchrun`` or ``srun`` has started the ranks, on one host or several.

    Attributes:
        rank: from 0.
        ranks: the number of ranks of the job.
        local_rank: the rank among those of this host, from 0.
        local_ranks: how many ranks this host has.
        address: the host of rank 0, where the job's store listens.
        port: of the store.
        device: the number of this rank's GPU among those that it sees.
        devices: how many GPUs it has to see.
        meeting: the name under which the ranks of one process of a cell find each other in the store.
    """

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int
    address: str
    port: int
    device: int
    devices: int
    meeting: str = ""


class Request(Message):
    """The work of one process.

    Attributes:
        task: ``check`` loads the data and looks for the device and the compiler; ``measure`` runs passes that are not
            timed; ``time`` times the steps of one or several cells, see :mod:`bench.execute.timed_group`; ``trace``
            traces a step of a cell on one rank, see :mod:`bench.measure.trace.step_trace`.
        cells: what to work on: one cell, or the cells of a group to time.
        limits: of the process; several ranks share them.
        passes: of ``measure``: the passes to run.
        process: of ``time``: the number of the process, from 0, among those that time these cells.
        is_last: of ``time``: no other process times these cells after this one, so it also follows the phases of a
            step.
        loops: of ``time``: steps in a leg, as in earlier processes; None: this process chooses.
        data_root: the directory with data sets, or None.
        download: whether missing data sets are downloaded into it.
        cpus: the CPUs that the process is bound to, or None.
        place: the rank that the process is of its cell; None where it starts all ranks of the cell itself.
    """

    task: Literal["check", "measure", "time", "trace"]
    cells: tuple[Cell, ...] = Field(min_length=1)
    limits: Limits
    passes: tuple[Pass, ...] = ()
    process: int = 0
    is_last: bool = False
    loops: int | None = None
    data_root: Path | None = None
    download: bool = False
    cpus: tuple[int, ...] | None = None
    place: Place | None = None

    @property
    def cell(self) -> Cell:
        """The first of the cells; what belongs to a process, such as threads and device, is the same for all."""
        return self.cells[0]


class Answer(Message):
    """The result of a request, or of one of its cells; what was not measured is None.

    Attributes:
        status: as in a record.
        message: why the status is not ``ok``; of a check that is ``ok``, what a person should know about the data.
        final: the failure would be the same in another attempt.
        caused_by_another_rank: the process failed only because another rank of its cell ended or did not respond.
        work_seconds: time spent on data, network and passes; None where the process ended without an answer.
        environment: where the cell was measured, as a record stores it; may lack what every process of a sweep shares.
        members: of ``time``: the answer for each of the cells; None if the process ended without any.
        apart: of ``time``: the places of cells that disturb others in one process, which was given up therefore: their
            code changes torch's settings or leaves threads running.
        latency_sample: of ``time``: compared with BP's step.
        one_rank_sample: of ``time``, on several ranks: compared with the same rule on one rank.
        inference_bytes: of a prediction.
        inference_sample: of ``time``: predictions compared with those of the plain network.
        unreliable_because: why the sample of this process cannot be relied on, or None.
        traced_step: of ``trace``.
        data, layout, parameters, memory, shares, accuracy, trace, ranks: the parts of the record.
    """

    status: Status
    message: str | None = None
    final: bool = False
    caused_by_another_rank: bool = False
    work_seconds: float | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    members: tuple["Answer", ...] | None = None
    apart: tuple[int, ...] = ()
    latency_sample: Sample | None = None
    one_rank_sample: Sample | None = None
    inference_bytes: PredictionBytes | None = None
    inference_sample: Sample | None = None
    unreliable_because: str | None = None
    traced_step: TracedStep | None = None
    data: Data | None = None
    layout: Layout | None = None
    parameters: int | None = None
    memory: Memory | None = None
    shares: Shares | None = None
    accuracy: Accuracy | None = None
    trace: Trace | None = None
    ranks: Ranks | None = None


class Hello(Message):
    """The first message of a command to that of rank 0.

    Attributes:
        token: shows that it belongs to the job.
        rank: its rank.
        host: the name of its host.
        versions: what has to be the same on all ranks, by name.
    """

    token: str
    rank: int
    host: str
    versions: dict[str, str | None]


class Call(Message):
    """What the command of rank 0 tells the others to do.

    Attributes:
        task: as of a request, for this rank; ``cancel`` ends the process of the cell that runs, which is then answered;
            ``end``: the sweep has ended.
        cells: of a request.
        process: of a request.
        loops: of a request.
        meeting: see :class:`Place`.
    """

    task: Literal["check", "measure", "time", "cancel", "end"]
    cells: tuple[Cell, ...] = ()
    process: int = 0
    loops: int | None = None
    meeting: str = ""


# What a command that is interrupted says before it ends, in the place of an answer.
INTERRUPTED = Call(task="end")
