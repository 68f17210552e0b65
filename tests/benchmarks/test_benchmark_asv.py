"""asv finds its benchmarks, and a quick run of them succeeds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASV = [sys.executable, "-m", "asv"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A separate repository with the configuration and the benchmarks of asv."""
    shutil.copy(ROOT / "asv.conf.json", tmp_path)
    shutil.copytree(ROOT / "bench" / "asv", tmp_path / "bench" / "asv", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "."],
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message=start"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    machine = {"machine": "here", "os": "", "arch": "", "cpu": "", "num_cpu": "", "ram": "", "version": 1}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".asv-machine.json").write_text(json.dumps({"here": machine, "version": 1}))
    return tmp_path


def asv(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(project / "home"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*ASV, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def test_asv_check_finds_no_problem(project: Path) -> None:
    result = asv(project, "check", "--python=same")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No problems found" in result.stdout


def test_a_quick_run_tracks_bytes_and_the_ratio_and_times_the_steps(project: Path) -> None:
    bench = r"--bench=\('sid-streamed', 4\)"
    result = asv(project, "run", "--python=same", "--quick", "--dry-run", "--machine=here", "--show-stderr", bench)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "failed" not in result.stdout
    for name in ("track_peak_activation_bytes", "track_latency_over_bp", "time_step"):
        assert name in result.stdout
