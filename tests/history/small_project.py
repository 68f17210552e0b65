"""A small repository with the code of this checkout, in which asv, make and git run as a user's do.

asv's environment in it holds the commit that is measured, and sees all other packages of the environment of the tests,
so that nothing large is installed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "history.md"
_FILES = ("pyproject.toml", "README.md", "Makefile", "asv.conf.json", ".gitignore")
_FOLDERS = ("bench", "sid_core")
_SHARE = """\
import json, sysconfig
from pathlib import Path
paths = json.loads({paths!r})
Path(sysconfig.get_path("purelib"), "shared.pth").write_text("\\n".join(paths))
"""
_INSTALL = [
    "in-dir={env_dir} python {conf_dir}/.venv/share.py",
    "in-dir={env_dir} python -m pip install --quiet --no-deps {wheel_file}",
]


def documented_commands() -> list[str]:
    """Returns every line of the shell blocks of the page on the history."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return "".join(blocks).splitlines()


class Project:
    """The repository in ``folder``, which must be empty; ``commits`` is how many it has on ``main``."""

    def __init__(self, folder: Path, commits: int = 1) -> None:
        self.folder = folder / "project"
        self.environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        (folder / "home").mkdir()
        self.folder.mkdir()
        for name in _FILES:
            shutil.copy(ROOT / name, self.folder)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self._share_packages()
        self.run("git init --quiet --initial-branch=main && git add --all && git commit --quiet --message=start")
        for number in range(1, commits):
            self.run(f"git commit --quiet --allow-empty --message={number}")
        self._make_venv()

    def list_commits(self, *names: str) -> None:
        (self.folder / "results" / "asv").mkdir(parents=True)
        (self.folder / "results" / "asv" / "commits.txt").write_text(
            "# oldest first\n\n" + "\n".join(names) + "  # last\n"
        )

    def run(self, command: str, code: int = 0) -> str:
        """Runs a line of the shell; returns what it prints, after checking its exit code."""
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3600,
            check=False,
        )
        assert ended.returncode == code, f"{command}\n{ended.stdout}"
        return ended.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """Runs a command that serves pages until it is interrupted; gives the address that it prints."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            try:
                for line in server.stdout:
                    if (found := re.search(r"Serving at (http\S+)", line)) is not None:
                        yield found[1]
                        return
                raise AssertionError(f"{command} ended with {server.wait()}")
            finally:
                server.terminate()

    def hash_of(self, name: str) -> str:
        return self.run(f"git rev-parse {name}").strip()

    def stored_bytes(self, machine: str, name: str) -> dict[tuple[str, str], int]:
        """Returns the activation bytes of a commit by depth and method."""
        (file,) = (self.folder / "results" / "asv" / machine).glob(f"{self.hash_of(name)[:8]}-*.json")
        stored = json.loads(file.read_text())
        assert stored["commit_hash"] == self.hash_of(name)
        values, (depths, methods), version, *_ = stored["results"]["memory.Cascade.track_activation_bytes"]
        assert version == "1"
        cells = [(depth, method.strip("'")) for depth in depths for method in methods]
        return dict(zip(cells, values, strict=True))

    def _share_packages(self) -> None:
        file = self.folder / "asv.conf.json"
        text, changed = re.subn(r'"matrix": .*', '"matrix": {},', file.read_text())
        text, again = re.subn(r'"install_command": .*', lambda _: f'"install_command": {json.dumps(_INSTALL)},', text)
        assert (changed, again) == (1, 1)
        file.write_text(text)

    def _make_venv(self) -> None:
        """Makes a ``.venv`` as ``make`` would, with the packages of the tests."""
        binaries = self.folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for name, command in (("python", sys.executable), ("asv", f"{sys.executable} -m asv")):
            (binaries / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (binaries / name).chmod(0o755)
        paths = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (binaries.parent / "share.py").write_text(_SHARE.format(paths=json.dumps(paths)))
        (binaries.parent / "installed-dev").touch()


def fetch(address: str) -> str:
    with urlopen(address, timeout=20) as answer:
        return answer.read().decode()
