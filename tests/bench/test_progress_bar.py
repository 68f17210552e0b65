"""The progress bar on a real terminal."""

import os
import pty
import sys
from pathlib import Path

import pytest


def run_on_a_terminal(arguments: list[str]) -> tuple[int, str]:
    """The exit code and the output of ``sid-bench`` with a pseudo-terminal of 120 columns."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ["COLUMNS"] = "120"
        os.execv(sys.executable, [sys.executable, "-m", "bench", *arguments])
    output = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # on Linux: the other end is closed
            break
        if not chunk:
            break
        output += chunk
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_the_bar_shows_the_current_cell_finished_cells_and_failures(tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    tiny = ["--set", "passes=memory", "--set", "method=bp,sid-streamed", "--set", "batch_size=64,1000000000"]
    code, output = run_on_a_terminal(["run", "smoke", "--out", out, "--memory-limit", "300MiB", *tiny])
    assert code == 0, output
    assert "sid-streamed cascade-linear digits depth 4" in output
    assert "4/4" in output
    assert "2 failed" in output
    assert "oom: bp" in output
    code, output = run_on_a_terminal(["run", "smoke", "--out", out, "--memory-limit", "300MiB", *tiny])
    assert code == 0, output
    assert "4 of 4 cells stored already" in output
