"""Where the commands print, and how they turn an error into a message and an exit code."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer
from rich.console import Console

from bench.errors import BenchError

out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)

P = ParamSpec("P")


def friendly(command: Callable[P, None]) -> Callable[P, None]:
    """Turns an error that the user can mend into a message and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BenchError as error:
            err.print(f"error: {error}", markup=False, highlight=False, style="red")
            raise typer.Exit(2) from None

    return wrapped
