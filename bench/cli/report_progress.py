"""A bar that shows how much of a report is made, on a terminal."""

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.cli.console import err


@contextlib.contextmanager
def progress_of_report(quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """Yield what shows on standard error how many steps of all are done, and the next one; the bar is gone afterwards.

    It is None where there is no terminal to show it on, and if ``quiet``.
    """
    if quiet or not err.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield show
