"""Names of files and folders in cells: text that JSON, UTF-8 and terminals take, whatever bytes the name has."""

import os
import re
from pathlib import Path

from bench.errors import ConfigError

_FIRST_BYTE = 0xDC00  # Python reads a byte that is no UTF-8 as the character of this number plus the byte
_ESCAPED_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def escaped(text: str) -> str:
    r"""``text`` with bytes that are not UTF-8 as ``\xNN``, as in ``bad\xff``.

    Raises:
        ConfigError: it holds half of a character, which no name of a file can.
    """
    plain = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - _FIRST_BYTE:02x}", text)
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{text!r} is not text: {error.reason}; legal: what UTF-8 can encode") from None
    return plain


def path_of(name: str, folder: Path = Path()) -> Path:
    r"""The path in ``folder`` that a cell calls ``name``: as it stands if there is one, else with ``\xNN`` as bytes."""
    path = folder / name
    if "\\x" not in name or os.path.lexists(path):
        return path
    unescaped = folder / os.fsdecode(_ESCAPED_BYTE.sub(lambda byte: bytes.fromhex(byte[1].decode()), os.fsencode(name)))
    return unescaped if os.path.lexists(unescaped) else path


def shown(text: Path | str) -> str:
    """``text`` on one line that JSON and terminals take: characters that cannot be printed are escapes."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain)
