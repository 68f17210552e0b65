"""Runs the command of the commit that is installed, and reads what it writes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 600  # until a command is killed
CACHE_SECONDS = 3 * COMMAND_SECONDS  # of several commands
_COMMAND = Path(sys.executable).with_name("sid-bench")
_REFUSED = 2  # exit code of a command that does not know what it is asked for
_SHOWN_CHARACTERS = 2000  # of a message

Record = dict[str, Any]


def measured_records(methods: Sequence[str], suites: Sequence[str]) -> list[Record]:
    """Return the records of the first of ``suites`` that the commit knows, and none if it knows none of them.

    Args:
        methods: names, in the order in which the project got them: while a suite is refused, the last is left out.
        suites: texts of TOML files, in which ``METHODS`` stands for the list of methods.

    Raises:
        RuntimeError: the command ended without records for another reason.
    """
    for known in range(len(methods), 0, -1):
        for suite in suites:
            records = _run_suite(suite.replace("METHODS", json.dumps(methods[:known])))
            if records:
                return records
    return []


def _run_suite(suite: str) -> list[Record]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.toml").write_text(suite, encoding="utf-8")
        ended = start(folder, "run", "suite.toml", "--out", "results.jsonl")
        results = folder / "results.jsonl"
        if results.exists() and ended.returncode != _REFUSED:
            return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    knows(ended)
    return []


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``sid-bench`` with one thread in ``folder`` and wait for its end."""
    return subprocess.run(  # noqa: S603
        [_COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_SECONDS,
        check=False,
    )


def knows(ended: subprocess.CompletedProcess[str]) -> bool:
    """Return whether the commit knew what a command asked for.

    Raises:
        RuntimeError: it knew, and failed.
    """
    if ended.returncode not in (0, _REFUSED):
        raise RuntimeError((ended.stdout + ended.stderr)[-_SHOWN_CHARACTERS:])
    return ended.returncode == 0


def method_of(record: Record) -> str:
    """Return the name under which a method was asked for: newer records hold BP with checkpoints as ``bp``."""
    cell = record["cell"]
    return "bp-checkpoint" if (cell["method"], cell.get("recompute")) == ("bp", "modules") else str(cell["method"])


def part_of(record: Record | None, name: str) -> Any:
    """Return what a pass measured.

    Args:
        record: of a cell; None if the commit does not know the cell.
        name: of the pass.

    Raises:
        NotImplementedError: there is no record; asv skips such a benchmark.
        RuntimeError: the cell failed.
    """
    if record is None:
        raise NotImplementedError
    if record.get(name) is None:
        raise RuntimeError(f"{record.get('status')}: {record.get('message')}")
    return record[name]
