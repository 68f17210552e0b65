"""Text files that a command writes."""

from pathlib import Path

from bench.errors import StoreError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, and create its parent directories.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
