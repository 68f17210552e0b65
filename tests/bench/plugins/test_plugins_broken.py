"""A plug-in that cannot be loaded says why, and nothing else suffers from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KINDS = {"methods": "method", "networks": "network", "datasets": "dataset"}


@pytest.fixture(params=["raise RuntimeError('no such device')", "import sys; sys.exit(0)", "import not_there_at_all"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a package whose module fails at import, named in every group."""
    (tmp_path / "broken_module.py").write_text(request.param, encoding="utf-8")
    information = tmp_path / "broken_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    groups = "".join(f"[sid_bench.{kind}]\nbroken = broken_module:thing\n" for kind in (*KINDS, "axes"))
    (information / "entry_points.txt").write_text(groups)
    return tmp_path


def sid_bench(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.long
def test_the_others_are_listed_and_the_broken_one_says_why(site: Path) -> None:
    ended = sid_bench(site, "list")
    assert ended.returncode == 0, ended.stderr
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert {"bp", "sid-streamed", "pipeline-conv", "digits", "batch_size"} <= set(lines)
    broken = [line for line in ended.stdout.splitlines() if line.startswith("broken ")]
    assert len(broken) == len(KINDS)
    for line, kind in zip(broken, ("methods", "networks", "datasets"), strict=True):
        assert f"sid_bench.{kind} 'broken' of broken-package (broken_module:thing) cannot be loaded:" in line


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.long
def test_a_cell_that_names_it_is_refused_before_anything_runs(site: Path, kind: str) -> None:
    ended = sid_bench(site, "run", "smoke", "--set", f"{kind}=broken")
    assert ended.returncode == 2
    assert "cannot be loaded" in ended.stderr
    assert not (site / "results").exists()
