"""Where the commands print, and how they turn an error into a message and an exit code."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec

import typer
from rich.console import Console

from bench.errors import BenchError

out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)

# Exit codes, besides 0: the command has ended but its outcome is not what was asked for; it was refused or failed.
EXIT_FAULT = 1
EXIT_ERROR = 2

P = ParamSpec("P")


def friendly(command: Callable[P, None]) -> Callable[P, None]:
    """Turns an error that the user can mend into a message and an exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BenchError as error:
            print_error(str(error))
            raise typer.Exit(EXIT_ERROR) from None

    return wrapped


def print_error(message: str) -> None:
    """Print ``message`` to standard error as the reason why the command failed."""
    err.print(f"error: {message}", markup=False, highlight=False, style="red")


def warn(warnings: Iterable[str]) -> None:
    """Print each of ``warnings`` to standard error."""
    for warning in warnings:
        err.print(f"warning: {warning}", markup=False, highlight=False)
