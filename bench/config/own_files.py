"""The files of a user's own that a cell names, ``FILE.py:NAME``, and which version of each it is."""

import hashlib

from bench.config.cell import Cell
from bench.config.plugins import file_of

_DIGITS = 12  # of the hash, as in short hashes of commits


def own_files(cell: Cell) -> dict[str, str]:
    """Return the first digits of the SHA-256 of each file that the method, the network or the data of ``cell`` name.

    The keys are the files as the cell names them. A file that cannot be read is left out: what loads it says so.
    """
    found: dict[str, str] = {}
    for name in (cell.method, cell.network, cell.dataset):
        file = file_of(name)
        if file is None:
            continue
        try:
            content = file.read_bytes()
        except OSError:
            continue
        found[name.rpartition(":")[0]] = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return found
