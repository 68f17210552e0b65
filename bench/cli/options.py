"""Options that several commands share."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from bench.config.sweep import parse_overrides, value_text
from bench.errors import ConfigError
from bench.execute.cluster.settings import ClusterSettings, load_cluster
from bench.execute.executors import EXECUTORS, executor_row

Suite = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUITE]",
        help="A suite's name (see 'list'), or a .toml file. \\[default: one cell per method that takes what --set "
        "says]",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="AXIS=VALUE,...", help="Replace an axis of the suite; may be given often."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="AXIS=VALUE,...",
        help="Keep the cells that have one of the values, after --set; may be given often.",
    ),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Directory with data sets, as torchvision lays them out, or image folders.")
]
Processes = Annotated[int | None, typer.Option(min=1, help="Fresh processes for each latency, as --set processes=N.")]
Download = Annotated[bool, typer.Option("--download", help="Download missing data sets into --data-root.")]
LONGEST_SECONDS = 1e9  # of options, about 30 years: infinity is no time that a process can wait for
CellTimeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=LONGEST_SECONDS,
        help="Seconds until the process of a cell is killed; one that times N cells has N times as long.",
    ),
]
MemoryLimit = Annotated[
    str | None, typer.Option(help="What a cell may allocate, as in 2GiB. \\[default: nine tenths of what is free]")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads that torch computes with; the same as --set threads=N.")
]
Ranks = Annotated[
    int | None, typer.Option(metavar="N", help="Processes that share each step; the same as --set ranks=N.")
]
Pin = Annotated[
    bool,
    typer.Option(
        "--pin",
        help="Bind each cell's process to as many CPUs as it has threads (all physical cores where threads is not "
        "set). A record has the same id with and without it, so cells that are stored are not measured again.",
    ),
]
Retries = Annotated[int, typer.Option(min=0, help="How often a cell that crashes is started again.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Measure cells again whose stored record is not ok.")]
NoFrontier = Annotated[
    bool, typer.Option("--no-frontier", help="Run cells that are larger than one that ran out of memory, too.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with code 1 unless every cell is ok, those stored before included.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List the cells and measure nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the summary only.")]

Executor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where cells run: " + "; ".join(f"{row.name}: {row.summary}" for row in EXECUTORS.values()) + ".",
    ),
]
Cluster = Annotated[
    Path | None,
    typer.Option("--cluster", metavar="FILE", help="TOML file that says what tasks ask of a cluster."),
]
ClusterSet = Annotated[
    list[str] | None,
    typer.Option("--cluster-set", metavar="FIELD=VALUE", help="Replace a field of that file; may be given often."),
]

_BYTES = TypeAdapter(ByteSize)


def with_axis(overrides: list[str], axis: str, value: int | None) -> list[str]:
    """``overrides`` and the value of an option that is named as ``axis``.

    Raises:
        ConfigError: an override says something else.
    """
    if value is None:
        return overrides
    values = parse_overrides(overrides).get(axis)
    if values == [value]:
        return overrides
    if values is not None:
        given = ",".join(map(str, values))
        raise ConfigError(f"--{axis.replace('_', '-')} {value} and --set {axis}={given} differ; give one of them")
    return [*overrides, f"{axis}={value}"]


def parse_bytes(option: str, text: str) -> int:
    """``512MiB`` or ``2GB`` in bytes.

    Raises:
        ConfigError: the text is something else, or not between 1 byte and what a machine can address.
    """
    has_unit = text.strip()[-1:].isalpha()
    try:
        size = int(_BYTES.validate_python(text.strip()))
    except (ValidationError, OverflowError):
        size = 0
    if not has_unit or not 1 <= size < sys.maxsize:
        raise ConfigError(
            f"{option} {text!r}; legal: a number above 0 and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in 2GiB"
        )
    return size


def refuse_other_than_svg(figure: Path | None, together_with: str = "") -> None:
    """Check the option ``--figure`` of a command that draws SVG only.

    Args:
        figure: the file; None if the option is not given.
        together_with: what else the command needs for a figure, to follow the legal values.

    Raises:
        ConfigError: the name of the file says that it is something else.
    """
    if figure is not None and figure.suffix != ".svg":
        raise ConfigError(f"--figure {figure}; legal: a file that ends in .svg{together_with}")


def cluster_of(executor: str, file: Path | None, given: Sequence[str], jobs: int = 1) -> ClusterSettings | None:
    """What tasks ask of the cluster; None for an executor that submits none.

    Raises:
        ConfigError: the executor or a setting is not legal, or an option is of no use with this executor.
    """
    if not executor_row(executor).submits:
        if file is not None or given:
            option = "--cluster-set" if file is None else "--cluster"
            submitting = ", ".join(name for name, row in EXECUTORS.items() if row.submits)
            raise ConfigError(f"{option} with --executor {executor}, which submits nothing; legal with: {submitting}")
        return None
    if jobs > 1:
        raise ConfigError(
            f"--jobs {jobs} with --executor {executor}, whose tasks run at the same time; legal: --jobs 1, and "
            "cells_per_task and tasks_at_once by --cluster or --cluster-set"
        )
    return load_cluster(file, given)


def one_value(axis: str, values: Sequence[Any], where: str) -> Any:
    """The only one of ``values``, which --set gives ``axis``.

    Raises:
        ConfigError: there are more; ``where`` says beside what only one is legal.
    """
    if len(values) != 1:
        raise ConfigError(f"--set {axis}={','.join(map(value_text, values))} {where}; legal: one value")
    return values[0]
