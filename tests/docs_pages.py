"""The pages of the documentation, their examples and their commands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from bench.config.sweep import suite_names
from bench.machine.allocators import ALLOCATORS, SYSTEM, find_library

ROOT = Path(__file__).parents[1]
# A program without a file: processes of a plan would otherwise import the file of the program, each anew.
_RUN_COMMANDS = f"import sys; sys.path.append({str(ROOT / 'tests')!r}); import docs_commands; docs_commands.main()"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose runs list their cells without --slow: the results of their runs are not used on the page.
LISTED = ("cluster", "measuring", "methods", "networks-and-data", "planning", "ranks")
# Suites that take minutes or hours: their commands list cells and do not run them.
LONG_SUITES = set(suite_names()) - {"smoke"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: Path) -> list[tuple[dict[str, str], list[str]]]:
    """The environment variables and the arguments of every sid-bench command on ``page``."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    commands = []
    for words in found:
        variables = dict(word.split("=", 1) for word in takewhile(lambda word: "=" in word, words))
        if len(words) > len(variables) and words[len(variables)].endswith("sid-bench"):
            commands.append((variables, words[len(variables) + 1 :]))
    return commands


def sid_bench(folder: Path, commands: Sequence[tuple[Mapping[str, str], Sequence[str]]]) -> list[tuple[int, str, str]]:
    """Runs commands in order in ``folder``, in one process; exit code, standard output and standard error of each."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", _RUN_COMMANDS],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [(code, output, errors) for code, output, errors in json.loads(ended.stdout)]


def needs_library(word: str) -> bool:
    """Whether ``word`` names an allocator that is not installed here."""
    axis, _, values = word.partition("=")
    wanted = set(values.split(",")) - {SYSTEM}
    return axis == "allocator" and any(find_library(name) is None for name in ALLOCATORS if name in wanted)


def write_files(page: Path, folder: Path) -> None:
    """Writes the examples that begin with the name of a file."""
    for example in [*blocks(page, "python"), *blocks(page, "toml")]:
        name = re.match(r"# ([\w/]+\.(?:py|toml))\n", example)
        if name is not None:
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(example, encoding="utf-8")


def assert_commands_run(page: Path, folder: Path, *, everything: bool, smoke: Path | None = None) -> None:
    """Runs the commands of ``page`` in order in ``folder``, with its examples; long sweeps are listed only.

    Args:
        page: of the documentation.
        folder: where to run them, empty.
        everything: otherwise the runs of some pages list their cells, and plans, of which most name no method, are made
            for one; what fits is found for one method, or for those that are named, without their settings. The gate
            judges the bytes of one cell.
        smoke: what ``run smoke`` has written, so that the run of the page finds its cells stored.
    """
    write_files(page, folder)
    if smoke is not None and page.stem not in LISTED:
        (folder / "results").mkdir()
        shutil.copy(smoke, folder / "results" / "smoke.jsonl")
    chosen = []
    written = set()
    for variables, (command, *rest) in commands(page):
        is_long = command in ("run", "repeat") and rest[0] in LONG_SUITES and "latency_seconds=0.3" not in rest
        is_long = is_long or (command == "run" and page.stem in LISTED and not everything)
        if command == "report" and rest[0] not in written and not (folder / rest[0]).exists():
            is_listed = page.stem in LISTED and not everything
            assert is_listed or rest[0].startswith(("results/reference/", "results/mine")), rest
            continue
        if command == "run" and not is_long:
            written.add(rest[rest.index("--out") + 1] if "--out" in rest else f"results/{rest[0]}.jsonl")
        if command == "fit" and not everything and "--methods" not in rest:
            rest += ["--methods", "sid-streamed-in-turn", "--set", "recompute=none"]
        if command == "fit" and not everything and not any("recompute=" in word for word in rest):
            rest += ["--set", "recompute=none", "--set", "micro_batches=1"]
        if command == "plan" and not everything and not any(word.startswith("method=") for word in rest):
            rest += ["--set", "method=bp"]
        if command == "gate" and not everything:
            rest += ["--bytes-only", "--only", "method=sid-streamed", "--only", "network=cascade-linear"]
        is_long = is_long or any(needs_library(word) for word in rest)
        chosen.append((variables, [command, *rest, *(["--dry-run"] if is_long and "--dry-run" not in rest else [])]))
    ended = sid_bench(folder, chosen)
    assert len(ended) == len(chosen)
    for words, (code, output, errors) in zip(chosen, ended, strict=True):
        may_fail = words[1][0] == "compare" or words[1][:2] == ["check", "my_rules.py:last_module_only"]
        assert code in ((0, 1) if may_fail else (0,)), (words, output, errors)  # 1: something is slower, or not local
        assert not re.search(r"\b(crashed|oom|timeout)\b", output), (words, output)
