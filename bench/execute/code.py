"""The code of this project at a commit, checked out beside the working tree, and measurements of it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.machine.descendants import die_with_parent

_SECONDS_TO_END = 20.0


def commit_named(top: Path, name: str) -> str:
    """Return the hash of the commit that ``name`` means in the repository at ``top``.

    Raises:
        BenchError: there is no such commit, or no repository.
    """
    return _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", what=name)


def is_ancestor(top: Path, older: str, newer: str) -> bool:
    """Return whether the commit ``older`` is ``newer`` or comes before it."""
    command = ["git", "merge-base", "--is-ancestor", older, newer]
    return subprocess.run(command, cwd=top, capture_output=True, check=False).returncode == 0  # noqa: S603


def last_change(top: Path, file: Path) -> str:
    """Return the hash of the last commit up to ``HEAD`` that changed ``file``.

    Raises:
        BenchError: there is none, or the file in the working tree is another one.
    """
    relative = str(file.resolve().relative_to(top.resolve())) if file.resolve().is_relative_to(top.resolve()) else None
    if relative is None:
        raise BenchError(f"{file} is not in the repository {top}; legal: a committed file")
    found = _git(top, "log", "-1", "--format=%H", "--", relative, what=relative)
    if not found or _git(top, "status", "--porcelain", "--", relative, what=relative):
        raise BenchError(f"{relative} is not committed as it is, so no commit holds the code that it was measured with")
    return found


@contextmanager
def checked_out(top: Path, commit: str) -> Iterator[Path]:
    """Give a folder with the code of ``commit``, for as long as the context lasts.

    Raises:
        BenchError: git cannot check it out.
    """
    with tempfile.TemporaryDirectory(prefix="sid-bench-") as folder:
        place = Path(folder) / "code"
        try:
            _git(top, "worktree", "add", "--detach", str(place), commit, what=commit)
            yield place
        finally:
            subprocess.run(  # noqa: S603
                # Twice --force: git locks a worktree until it is complete, which an interrupted one never is.
                ["git", "worktree", "remove", "--force", "--force", str(place)],  # noqa: S607
                cwd=top,
                capture_output=True,
                check=False,
            )


def measure_code(code: Path, suite: str, results: Path, options: Sequence[str] = ()) -> None:
    """Measure ``suite`` with the code in the folder ``code``, in processes of its own, which end with this function.

    Args:
        code: the top of a checkout.
        suite: a name, which that code has to know.
        results: the results file, to which records are appended.
        options: of ``sid-bench run``.

    Raises:
        BenchError: nothing could be measured; the message has the reason.
    """
    path = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "bench", "run", suite, "--quiet", "--out", str(results.absolute()), *options],
        cwd=code,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # a gate that is killed can end nothing
        start_new_session=True,  # so that Ctrl-C reaches this process only, which then ends the measurement
    ) as run:
        try:
            _, errors = run.communicate()
        except BaseException:
            _end(run)
            raise
    if run.returncode not in (0, 1):  # 1: no cell is ok, which the records say
        reason = errors.strip() or f"it ended with code {run.returncode}"
        raise BenchError(f"suite {suite} cannot be measured with the code in {code}: {reason}")


def _end(run: subprocess.Popen[str]) -> None:
    """End ``run`` with SIGTERM, on which it ends its own processes; kill it if it does not end."""
    run.terminate()
    try:
        run.communicate(timeout=_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        run.kill()


def _git(top: Path, *arguments: str, what: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=top,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"git cannot be started: {error.strerror}") from None
    if ended.returncode:
        reason = ended.stderr.strip().splitlines()[-1:] or ["there is no such commit"]
        raise BenchError(f"git {arguments[0]} of {what!r} in {top}: {reason[0]}")
    return ended.stdout.strip()
