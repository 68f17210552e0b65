"""What the tasks of a sweep ask of a cluster: fields of a TOML file, and the same fields on the command line."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, field_validator

from bench.config.toml_file import read_toml
from bench.errors import ConfigError, unknown

OPTION = "--cluster-set"

_TIME = re.compile(r"(?:(?P<days>\d{1,4})-)?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)")
_WITH_UNIT = re.compile(r"[\d.]+\s*[kKMGTP]i?B", re.ASCII)
# Options of sbatch that the fields or the harness itself set.
_OURS = frozenset(
    [
        "account",
        "array",
        "chdir",
        "comment",
        "constraint",
        "cpus-per-task",
        "error",
        "exclusive",
        "gpus-per-node",
        "job-name",
        "mem",
        "nodes",
        "ntasks",
        "ntasks-per-node",
        "open-mode",
        "output",
        "partition",
        "qos",
        "requeue",
        "signal",
        "time",
        "wrap",
    ]
)


def _count(value: Any) -> Any:
    """Refuses truth values and fractions, which pydantic would take for integers."""
    if isinstance(value, bool | float):
        raise ValueError("no integer")
    return value


def _minutes(value: Any) -> Any:
    """Minutes, from an integer or from a text as ``2:30:00`` or ``1-12:00:00``."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _count(value)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (days * 24 + hours) * 60 + minutes + (seconds > 0)


def _size(value: Any) -> Any:
    """Refuses a number without a unit."""
    if not isinstance(value, str) or not _WITH_UNIT.fullmatch(value.strip()):
        raise ValueError("no size with a unit")
    return value


_Word = Annotated[str, Field(pattern=r"^\S+$")]
_Count = Annotated[int, BeforeValidator(_count), Field(ge=1, le=10**6)]


class ClusterSettings(BaseModel):
    """What the tasks of a sweep ask of a cluster; a field's description gives its legal values.

    ``time`` is in minutes and ``memory`` in bytes, whatever they were written as.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: _Word | None = Field(None, description="the name of a partition, or several joined by commas")
    account: _Word | None = Field(None, description="the name of an account")
    qos: _Word | None = Field(None, description="the name of a quality of service")
    constraint: _Word | None = Field(None, description="features of nodes, as in 'a100&ib'")
    time: Annotated[int, BeforeValidator(_minutes), Field(ge=1, le=10**6)] = Field(
        60, description="minutes as an integer of 1 or more, or a text as '2:30:00' or '1-12:00:00'"
    )
    memory: Annotated[ByteSize, BeforeValidator(_size), Field(ge=1 << 20)] | None = Field(
        None, description="a number and one of MB, GB, TB, MiB, GiB, TiB, as in 16GiB, at least 1MiB: what a task has"
    )
    cpus_per_task: _Count | None = Field(
        None, description="an integer of 1 or more; if unset, the threads of its cells, times their ranks"
    )
    gpu_type: _Word | None = Field(
        None, description="the type of the GPUs, as in 'a100'; their number is that of the ranks of a cell on cuda"
    )
    cells_per_task: _Count = Field(20, description="an integer of 1 or more: cells that a task measures, one by one")
    tasks_at_once: _Count | None = Field(
        None, description="an integer of 1 or more: tasks of an array that run at the same time; if unset, all"
    )
    setup: tuple[str, ...] = Field((), description="lines of shell, run before each task: a text, or a list of texts")
    sbatch: dict[str, str | bool | int] = Field(
        {},
        description="other options of sbatch without the dashes, each with its value, or true for one without a value",
    )

    @field_validator("setup", mode="before")
    @classmethod
    def _is_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("sbatch")
    @classmethod
    def _is_of_others(cls, options: dict[str, str | bool | int]) -> dict[str, str | bool | int]:
        for name, value in options.items():
            if value is False or name in _OURS or not re.fullmatch(r"[a-z][a-z-]*", name) or "\n" in str(value):
                raise ValueError(name)
        return options


def load_cluster(file: Path | None, given: Iterable[str] = ()) -> ClusterSettings:
    """The settings of a TOML file, with fields of it replaced.

    Args:
        file: the file; None for none.
        given: texts ``FIELD=VALUE``, and ``sbatch.OPTION=VALUE`` for an option of sbatch.

    Raises:
        ConfigError: the file cannot be read, or a field or a value is not legal.
    """
    content = {} if file is None else read_toml(file, f"--cluster {file}")
    origin = dict.fromkeys(content, f"{file}: ")
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            raise ConfigError(f"{OPTION} {text!r} is not FIELD=VALUE, as in {OPTION} partition=gpu")
        field, _, option = name.partition(".")
        field = field.replace("-", "_")
        if field == "sbatch" and option:
            table = content.get(field, {})
            content[field] = {**(table if isinstance(table, dict) else {}), option: value == "true" or value}
        else:
            field = name.replace("-", "_")
            content[field] = value
        origin[field] = f"{OPTION} "
    fields = ClusterSettings.model_fields
    for name in content:
        if name not in fields:
            raise ConfigError(f"{origin[name]}{unknown('field', name, fields)}")
    try:
        return ClusterSettings.model_validate(content)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        why = fields[name].description
        if name == "sbatch":
            why = f"{why}; not {', '.join(sorted(_OURS))}, which the other fields and sid-bench set"
        raise ConfigError(f"{origin[name]}{name} = {content[name]!r}; legal: {why}") from None
