"""A method that trains as BP, in as many processes as a test lets pass, so that a test needs to guess no time."""

import re
import subprocess
from pathlib import Path

from harness_tools import bench_environment, method_source, write_plugin


class Gate:
    """Holds the processes of cells with the method ``held`` until they may pass.

    Args:
        folder: for its files.

    Attributes:
        environment: the variables with which runs know the method.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._allowed = folder / "allowed"
        self.let_pass(0)
        source = method_source(
            f"folder = pathlib.Path({str(folder)!r})\n"
            "own = folder / f'passed-{os.getpid()}'\n"
            "while not own.exists():\n"
            "    if len(list(folder.glob('passed-*'))) < int((folder / 'allowed').read_text() or 0):\n"
            "        own.touch()\n"
            "    time.sleep(0.02)\n"
        )
        self.environment = bench_environment(write_plugin(folder / "plugins", "held", {"held": source}))

    def let_pass(self, processes: int) -> None:
        """Lets so many processes pass in all; of two that ask at the same time, one more may."""
        self._allowed.write_text(str(processes))


def assert_waits_for_tasks(run: "subprocess.Popen[str]") -> None:
    """Reads what ``run`` prints until it says that it waits for tasks of an earlier run."""
    assert run.stdout is not None
    assert any(re.match(r"waiting for \d+ tasks? of an earlier run", line) for line in run.stdout)
