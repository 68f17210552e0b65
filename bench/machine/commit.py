"""The commit that this package is checked out at, as git tells it; never that of another repository."""

import contextlib
import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path

_SECONDS = 5.0
_COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
# The variables that configure git, as trusted folders, and the place of its programs; the others name a repository.
_KEPT_VARIABLES = ("GIT_CONFIG", "GIT_EXEC_PATH")


def commit_of(package: Path, project: str) -> str | None:
    """The commit of the checkout that holds ``package``, followed by ``-dirty`` if it was changed.

    Args:
        package: the folder of the package, with ``__init__.py``.
        project: the name that ``pyproject.toml``, beside that folder, gives the project.

    Returns:
        None unless the top level of a repository is the folder around ``package``, its ``pyproject.toml`` names
        ``project``, both are tracked, and git tells the commit within seconds.
    """
    top = package.parent.resolve()
    if _project_name(top / "pyproject.toml") != project:
        return None
    found = _git(top, "rev-parse", "--show-toplevel")
    if found is None or not _is_same_folder(found, top):
        return None
    if _git(top, "ls-files", "--error-unmatch", "--", "pyproject.toml", f"{package.name}/__init__.py") is None:
        return None
    described = _git(top, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or ""
    return described if _COMMIT.fullmatch(described) else None


def _project_name(file: Path) -> object:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return None
    return project.get("name") if isinstance(project, dict) else None


def _is_same_folder(printed: str, folder: Path) -> bool:
    try:
        return folder.samefile(printed)
    except (OSError, ValueError):
        return False


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints to standard output; None where it is missing, refuses, or takes too long."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT_VARIABLES)
    }
    try:
        process = subprocess.Popen(  # noqa: S603 (git and words of our own)
            ["git", "-c", "core.fsmonitor=false", *arguments],  # noqa: S607
            cwd=folder,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        try:
            printed, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what git, or a script around it, has started
            return None
    return os.fsdecode(printed).removesuffix("\n") if process.returncode == 0 else None
