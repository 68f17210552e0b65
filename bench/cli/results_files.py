"""Results files on the command line: names, and patterns that no shell has expanded."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from bench.errors import ConfigError


def results_files(given: Iterable[Path]) -> list[Path]:
    """Return the files that ``given`` names, each once: a file by its name, and what a pattern matches, sorted.

    In a pattern ``*``, ``?`` and ``[...]`` match as in a shell, and ``**`` any folders.

    Raises:
        ConfigError: a pattern matches no file.
    """
    found: dict[str, Path] = {}
    for path in given:
        for file in [path] if os.path.lexists(path) or not glob.has_magic(str(path)) else _matches(path):
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _matches(pattern: Path) -> list[Path]:
    files = sorted(file for file in map(Path, glob.glob(str(pattern), recursive=True)) if not file.is_dir())  # noqa: PTH207
    if not files:
        raise ConfigError(
            f"no file matches {str(pattern)!r}; legal: results files, or a pattern such as 'results/*.jsonl'"
        )
    return files
