"""``sid-bench cache``: what is kept of decoded image folders."""

from typing import Annotated

import typer

from bench.analysis.words import numbered
from bench.cli.console import out
from bench.config.file_names import shown
from bench.errors import BenchError
from bench.machine.cache_folder import OFF, VARIABLE, cache_folder


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all of it; it is made again when it is needed.")
    ] = False,
) -> None:
    """List the decoded image folders that are kept, and how large they are.

    They lie in the folder SID_BENCH_CACHE. If that is not set, it is sid-bench in XDG_CACHE_HOME, or
    ~/.cache/sid-bench. With SID_BENCH_CACHE=off, nothing is kept.
    """
    from bench.machine.kept_arrays import clear_kept, list_kept  # NumPy takes a tenth of a second to load

    folder = cache_folder()
    if folder is None:
        _print(f"nothing is kept: {VARIABLE}={OFF}, or there is no home folder")
        return
    try:
        if clear:
            _print(f"{shown(folder)}: {numbered(clear_kept(folder), 'file')} removed")
            return
        kept = list_kept(folder)
    except OSError as error:
        raise BenchError(f"{shown(error.filename or folder)}: {error.strerror}") from None
    total = sum(file.size_bytes for file in kept)
    _print(f"{shown(folder)}: {numbered(len(kept), 'file')}, {total / 2**20:.1f} MiB")
    for file in kept:
        _print(f"{file.size_bytes / 2**20:10.1f} MiB  {file.about or f'{file.path.name}, damaged or unfinished'}")


def _print(line: str) -> None:
    out.print(line, markup=False, highlight=False)
