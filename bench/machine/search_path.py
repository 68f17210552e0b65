"""Where Python looks for modules, without the current folder, whose files may be named as modules of libraries.

Imports nothing that is not loaded in every Python process: it runs while the current folder is still searched first.
"""

import os
import sys


def leave_out_current_folder() -> None:
    """Takes the current folder off the head of this process's module search path, and out of ``PYTHONPATH``.

    Python puts it there for ``python -m`` and ``python -c``, and for an empty entry of ``PYTHONPATH``. An entry that
    names the folder stays. After an empty entry, and where this package lies in the folder, it is searched last.
    """
    here = _current_folder()
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", here):
        del sys.path[0]
    entries = [] if sys.flags.ignore_environment else _entries_of_pythonpath()
    if "" in entries and here not in [os.path.abspath(entry) for entry in entries if entry]:  # noqa: PTH100
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]
        if here is not None:
            sys.path.append(here)  # it may also be that of an editable package, which Python lists only once
    if _package_folder() == here and here not in sys.path:
        sys.path.append(here)
    sys.path[:] = _with_own_folder(sys.path)
    if "" in _entries_of_pythonpath():
        os.environ["PYTHONPATH"] = _named_entries()


def child_environment() -> dict[str, str]:
    """The environment variables for a Python process that is not to search the current folder."""
    return {**os.environ, "PYTHONPATH": _named_entries()}


def python_command(statement: str) -> list[str]:
    """A command line that executes ``statement`` and finds the same modules as this process.

    The current folder is searched only where this process's search path names it.
    """
    path = _with_own_folder([entry for entry in sys.path if entry])
    return [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {path!a}; {statement}"]


def _with_own_folder(path: list[str]) -> list[str]:
    """Returns ``path`` with the folder of this package behind Python's own entries and before all that follow them.

    An editable installation may be found by a hook that comes after the whole path. A folder that is searched last,
    such as the current one, would then hide the package.
    """
    folder = _package_folder()
    if folder in path:
        return list(path)
    own = [index for index, entry in enumerate(path) if entry.startswith((sys.prefix, sys.base_prefix))]
    position = own[-1] + 1 if own else 0
    return [*path[:position], folder, *path[position:]]


def _package_folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


def _current_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 (pathlib is not loaded yet)
    except OSError:  # it was deleted
        return None


def _entries_of_pythonpath() -> list[str]:
    """The entries of ``PYTHONPATH``; an empty one stands for the current folder, an empty variable for none."""
    text = os.environ.get("PYTHONPATH", "")
    return text.split(os.pathsep) if text else []


def _named_entries() -> str:
    """``PYTHONPATH`` without its empty entries."""
    return os.pathsep.join(filter(None, _entries_of_pythonpath()))
