"""Files in TOML that a user writes: suites, claims, thresholds and settings of a cluster."""

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from bench.errors import ConfigError


def read_toml(file: Path | Traversable, name: str) -> dict[str, Any]:
    """Return the content of ``file``, which may begin with a byte order mark, as some editors write it.

    Args:
        file: what to read.
        name: what an error calls it, such as ``the suite my.toml``.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {name}: it is not a text in UTF-8: {error}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, an integer of thousands of digits, or too deep nesting
        raise ConfigError(f"{name} is not a TOML file: {error}") from None
