"""The commits of the history: a file that lists them, and names of commits."""

import shutil
import subprocess
from pathlib import Path

from bench.errors import ConfigError


def listed_commits(file: Path, last: int | None = None) -> list[str]:
    """Return the hashes of the commits that ``file`` lists, in its order.

    Args:
        file: with a hash or the name of a tag on each line; what follows ``#`` is a comment.
        last: how many of the last ones; by default all.

    Raises:
        ConfigError: ``file`` cannot be read, lists nothing, or lists what is no commit of the repository.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    if not names:
        raise ConfigError(f"{file} lists no commit; legal: a hash or a tag on each line")
    return [hash_of(name, str(file)) for name in names[-(last or len(names)) :]]


def hash_of(name: str, where: str) -> str:
    """Return the hash of the commit that ``name`` stands for.

    Args:
        name: a hash, a tag or ``HEAD``.
        where: the file or the option that names it.

    Raises:
        ConfigError: the repository has no such commit.
    """
    git = shutil.which("git")
    if git is None:
        raise ConfigError("git is not installed")
    found = subprocess.run(  # noqa: S603
        [git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise ConfigError(
            f"{where}: {name!r} is no commit of this repository; legal: a hash, a tag or HEAD. In a shallow clone, "
            "`git fetch --unshallow` fetches the others"
        )
    return found.stdout.strip()
