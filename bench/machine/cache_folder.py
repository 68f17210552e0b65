"""The folder of the user in which sid-bench keeps what it can make again."""

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "SID_BENCH_CACHE"
OFF = "off"
_NAME = "sid-bench"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The folder, which need not exist; None: nothing is kept.

    It is what ``SID_BENCH_CACHE`` says, a folder or ``off``; else ``sid-bench`` in ``XDG_CACHE_HOME``, if that is an
    absolute path, as its specification demands; else ``~/.cache/sid-bench``.

    Args:
        environ: the environment variables.
    """
    chosen = environ.get(VARIABLE, "")
    if chosen:
        return None if chosen == OFF else Path(chosen).absolute()
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / _NAME
    try:
        return Path.home() / ".cache" / _NAME
    except RuntimeError:  # there is no home
        return None
