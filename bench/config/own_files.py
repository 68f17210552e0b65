"""The files of a user's own that a cell runs, ``FILE.py:NAME`` and what it imports, and the version of each."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.config.cell import Cell
from bench.config.own_imports import files_of_module, with_imports
from bench.config.plugins import file_of, is_reference

_DIGITS = 12  # of the hash, as in short hashes of commits


def own_files(cell: Cell) -> dict[str, str]:
    """Return the first digits of the SHA-256 of each file of what ``cell`` names: method, network, heads and data.

    These are ``FILE.py`` and ``package.module`` in the current folder, and the files beside them that they import. The
    keys are the files as the cell names them, or beside these. A file that cannot be read is left out: what loads it
    says so.
    """
    return own_files_of(code_of(cell))


def code_of(cell: Cell) -> tuple[str, ...]:
    """Return the names in ``cell`` that may be ``FILE.py:NAME`` or ``package.module:NAME``."""
    return (cell.method, cell.network, cell.head, cell.dataset)


def own_files_of(names: Iterable[str]) -> dict[str, str]:
    """Return :func:`own_files` of a cell that names ``names``."""
    found: dict[str, str] = {}
    for name in names:
        for key, path in _files_of(name):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            found[key] = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return found


def _files_of(name: str) -> Iterator[tuple[str, Path]]:
    """What to call each file of ``name``, and where it is."""
    module = name.rpartition(":")[0]
    file = file_of(name)
    if file is not None:
        resolved = file.resolve()
        folder, beside = resolved.parent, Path(module).parent
        yield module, resolved
        files = [resolved]
    elif is_reference(name):
        folder, beside = Path.cwd(), Path()
        files = files_of_module(folder, module)
        yield from ((str(path.relative_to(folder)), path) for path in files)
    else:
        return
    for path in with_imports(files, folder)[len(files) :]:
        yield str(beside / path.relative_to(folder)), path
