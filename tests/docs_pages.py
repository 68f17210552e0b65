"""The pages of the documentation, their examples and their commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from bench.config.sweep import suite_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose commands take longest; their tests have a file of their own, so that two workers share the work.
LONGEST = [page for page in PAGES if page.stem in ("networks-and-data", "planning", "ranks")]
# Suites that take minutes or hours: their commands list cells and do not run them.
LONG_SUITES = set(suite_names()) - {"smoke"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The arguments of every sid-bench command on ``page``."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and words[0].endswith("sid-bench")]


def sid_bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def write_files(page: Path, folder: Path) -> None:
    """Writes the examples that begin with the name of a file."""
    for example in [*blocks(page, "python"), *blocks(page, "toml")]:
        name = re.match(r"# ([\w/]+\.(?:py|toml))\n", example)
        if name is not None:
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(example, encoding="utf-8")


def assert_commands_run(page: Path, folder: Path) -> None:
    """Runs the commands of ``page`` in order in ``folder``, with its examples; long sweeps are listed only."""
    write_files(page, folder)
    for command, *rest in commands(page):
        is_long = command in ("run", "repeat") and rest[0] in LONG_SUITES and "latency_seconds=0.3" not in rest
        if command == "report" and not (folder / rest[0]).exists():
            assert rest[0].startswith(("results/reference/", "results/mine")), rest
            continue
        ended = sid_bench(folder, command, *rest, *(["--dry-run"] if is_long and "--dry-run" not in rest else []))
        assert ended.returncode == 0, (command, rest, ended.stdout, ended.stderr)
        assert not re.search(r"\b(crashed|oom|timeout)\b", ended.stdout), (command, rest, ended.stdout)
