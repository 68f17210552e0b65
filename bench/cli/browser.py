"""Opens a page in the user's browser."""

import os
import sys
import webbrowser
from pathlib import Path


def open_page(page: Path) -> str | None:
    """Open ``page`` in a browser; return why it was not opened, or None."""
    if not _has_display():
        return "there is no display; set BROWSER to a command that opens pages without one"
    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error as error:
        return str(error)
    return None if opened else "no browser was found"


def _has_display() -> bool:
    """Return whether a browser has a place to appear, or the user has named one that needs none."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
