"""A copy of the code in which a step holds 1 % more bytes does not pass the gate; unchanged code does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plants import plant_bytes, plant_time

from bench.store.file import read_records

ROOT = Path(__file__).parents[3]
BASELINE = ROOT / "results" / "gate" / "baseline.jsonl"
CELL = ("--only", "network=cascade-linear", "--only", "method=sid-streamed")


def copy_of_the_code(folder: Path) -> Path:
    for name in ("bench", "sid_core"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "results" / "gate", folder / "results" / "gate", ignore=shutil.ignore_patterns("runs"))
    return folder


def gate(code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "gate", *arguments],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.long
def test_one_per_cent_of_bytes_more_closes_the_gate(tmp_path: Path) -> None:
    code = copy_of_the_code(tmp_path / "code")
    (held,) = {
        record.memory.peak_activation_bytes
        for record in read_records(BASELINE).latest.values()
        if record.memory is not None and (record.cell.network, record.cell.method) == ("cascade-linear", "sid-streamed")
    }
    assert gate(code, "--bytes-only", *CELL).returncode == 0
    more = held // 100 // 4 * 4
    plant_bytes(code, more)
    markdown = tmp_path / "comment.md"
    ended = gate(code, "--bytes-only", *CELL, "--markdown", str(markdown))
    assert ended.returncode == 1, ended.stderr
    expected = f"{held:,} to {held + more:,} (+{100 * more / held:.2f} %)"
    assert expected in ended.stdout
    assert "sid-streamed, cascade-linear" in ended.stdout
    assert "make baseline REASON=" in ended.stderr
    assert expected in markdown.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_planted_step_takes_the_planted_time(tmp_path: Path) -> None:
    code = copy_of_the_code(tmp_path / "code")
    plant_time(code, factor=3)
    words = ["run", "gate", "--only", "network=cascade-linear", "--only", "method=sid-streamed", "--only", "seed=0"]
    words += ["--set", "passes=latency", "--processes", "2", "--set", "latency_seconds=0.05", "--quiet"]
    ratios = []
    for folder in (ROOT, code):
        results = tmp_path / f"{len(ratios)}.jsonl"
        command = [sys.executable, "-m", "bench", *words, "--out", str(results)]
        subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, timeout=200, check=True)
        (record,) = map(json.loads, results.read_text().splitlines())
        ratios.append(record["latency"]["ratio_to_bp"])
    assert 2 < ratios[1] / ratios[0] < 4.5
