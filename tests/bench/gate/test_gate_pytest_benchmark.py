"""What pytest-benchmark makes of ratios and bytes, as the page on the gate says, with the commands of that page."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "gate.md"
# As in tests/benchmarks/test_benchmark_gate.py: a clock that advances by a ratio, and bytes beside it.
BENCHMARK = """\
import json
import pathlib
import pytest

given = json.loads(pathlib.Path("given.json").read_text())
now = 0.0

def advance():
    global now
    now += given["ratio"]

@pytest.mark.benchmark(timer=lambda: now)
def test_step(benchmark):
    benchmark.extra_info["peak_total_bytes"] = given["bytes"]
    benchmark.pedantic(advance, rounds=2)
"""


def run(folder: Path, command: list[str], ratio: float, size: int, code: int = 0) -> str:
    (folder / "given.json").write_text(json.dumps({"ratio": ratio, "bytes": size}))
    (folder / "test_small.py").write_text(BENCHMARK)
    words = ["test_small.py" if word.startswith("tests/") else word for word in command[1:]]
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.long
def test_a_number_is_a_ratio_and_bytes_are_recorded_but_neither_shown_nor_compared(tmp_path: Path) -> None:
    lines = re.findall(r"^\.venv/bin/python .*--benchmark-.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    save, compare = map(shlex.split, lines)
    for shown in (run(tmp_path, save, 0.9, 123_457), run(tmp_path, compare, 0.9, 765_431)):
        assert "Name (time in s)" in shown
        assert re.search(r"test_step\S* .* 0\.9000 ", shown)
        assert not re.search(r"123,?457|765,?431", shown)
    (stored,) = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert stored["extra_info"] == {"peak_total_bytes": 765_431}
    assert stored["stats"]["mean"] == pytest.approx(0.9)

    run(tmp_path, [*compare, "--benchmark-compare-fail=mean:1%"], 0.9, 765_431)
    worse = run(tmp_path, [*compare, "--benchmark-compare-fail=mean:1%"], 1.0, 123_457, code=1)
    assert "Performance has regressed" in worse
