"""What a sweep, its fork server, and the processes of a cell send to each other: one line of JSON per message."""

import json
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from bench.config.cell import Cell, Pass
from bench.config.networks import Layout
from bench.measure.latency.sample import Sample
from bench.store.record import Accuracy, Data, Inference, Latency, Memory, Ranks, Status, Trace

# The name of the finding, beside the doctor's, that a cell changed torch's settings.
SETTINGS_CHECK = "torch settings"


class _Message(BaseModel):
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


class Limits(_Message):
    """What the process of a cell may use.

    Attributes:
        timeout_seconds: when it is killed, with all processes that it has started.
        memory_bytes: how much it may allocate; None for no limit.
    """

    timeout_seconds: float = Field(gt=0)
    memory_bytes: int | None = Field(default=None, ge=0)


class Request(_Message):
    """One process's work for a cell.

    Attributes:
        task: ``check`` loads the data and looks for the device and the compiler; ``measure`` also runs the passes.
        cell: the cell.
        limits: of the process; several ranks share them.
        passes: the passes of the cell that this process runs; none for a check.
        earlier_samples: latency samples of the cell's earlier processes. A process that is not the cell's last one
            answers with a sample of its own, the last one with the latency of all samples.
        data_root: the directory with data sets, or None.
        download: whether missing data sets are downloaded into it.
        cpus: the CPUs that the process is bound to, or None.
    """

    task: Literal["check", "measure"]
    cell: Cell
    limits: Limits
    passes: tuple[Pass, ...] = ()
    earlier_samples: tuple[Sample, ...] = ()
    data_root: Path | None = None
    download: bool = False
    cpus: tuple[int, ...] | None = None


class Answer(_Message):
    """The result of a request, or of a cell; what was not measured is None.

    Attributes:
        status: as in a record.
        message: why the status is not ``ok``; of a check that is ``ok``, what a person should know about the data.
        final: the failure would be the same in another attempt.
        caused_by_another_rank: the process failed only because another rank of its cell ended or did not respond.
        work_seconds: time spent on data, network and passes; None where the process ended without an answer.
        environment: where the cell was measured, as a record stores it; may lack what every process of a sweep shares.
        latency_sample: of a process that is not its cell's last.
        data, layout, parameters, memory, latency, accuracy, trace, ranks, inference: the parts of the record.
    """

    status: Status
    message: str | None = None
    final: bool = False
    caused_by_another_rank: bool = False
    work_seconds: float | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    latency_sample: Sample | None = None
    data: Data | None = None
    layout: Layout | None = None
    parameters: int | None = None
    memory: Memory | None = None
    latency: Latency | None = None
    accuracy: Accuracy | None = None
    trace: Trace | None = None
    ranks: Ranks | None = None
    inference: Inference | None = None
