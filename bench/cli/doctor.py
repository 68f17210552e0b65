"""``sid-bench doctor``: checks the machine."""

import dataclasses
import json
from typing import Annotated

import typer

from bench.cli.console import EXIT_FAULT, out
from bench.machine.doctor import checks_table, diagnose
from bench.machine.system import this_system


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if any check warns.")] = False,
) -> None:
    """Check this machine for what makes timings unsteady, and say what to do about it.

    Reads only, needs no root. Each record of a run keeps the warnings that there were while its cell ran.
    """
    from bench.measure.latency.exchange_check import exchange_check  # torch takes a second or two to load

    system = this_system()
    checks = [*diagnose(system), exchange_check(system)]
    if as_json:
        text = json.dumps([dataclasses.asdict(check) for check in checks], indent=2)
        out.print(text, markup=False, highlight=False)
    else:
        out.print(checks_table(checks), soft_wrap=False)
    if strict and any(check.verdict == "warn" for check in checks):
        raise typer.Exit(EXIT_FAULT)
