"""The wheel holds all that it needs: it runs from an empty folder, without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.config.sweep import suite_names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked wheel: what pip would put into site-packages."""
    wheels = tmp_path_factory.mktemp("wheels")
    source = tmp_path_factory.mktemp("source")
    for name in ("bench", "sid_core", "pyproject.toml", "README.md"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            wheels,
            source,
        ],
        check=True,
        timeout=120,
    )
    (wheel,) = wheels.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def sid_bench(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys, bench; assert bench.__file__.startswith(sys.argv.pop(1)); from bench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, str(installed), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_it_measures_and_reports_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    run = sid_bench(installed, tmp_path, "run", "smoke", "--set", "passes=memory,accuracy", "--set", "epochs=1")
    assert run.returncode == 0, run.stdout + run.stderr
    report = sid_bench(installed, tmp_path, "report", "results/smoke.jsonl")
    assert report.returncode == 0, report.stdout + report.stderr
    assert (tmp_path / "reports" / "smoke.html").read_text().startswith("<!doctype html>")
    assert str(tmp_path / "reports" / "smoke.html") in report.stdout.replace("\n", "")


def test_its_console_script_is_declared_and_its_data_is_there(installed: Path) -> None:
    (entry_points,) = installed.glob("sid_bench-*.dist-info/entry_points.txt")
    assert "sid-bench = bench.cli:main" in entry_points.read_text()
    assert {file.stem for file in (installed / "bench" / "config" / "suites").glob("*.toml")} == set(suite_names())
    assert not (installed / "tests").exists()
