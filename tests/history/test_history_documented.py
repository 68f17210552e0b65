"""Every command on the page about the history runs, in the order of the page."""

from pathlib import Path

import pytest
from small_project import Project, documented_commands, fetch

WORSE = 1  # exit code of asv continuous


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_commands_of_the_page_run_and_find_the_planted_commit(tmp_path: Path) -> None:
    project = Project(tmp_path, commits=3)
    project.list_commits("HEAD~2", "HEAD~1", "HEAD")
    said: dict[str, str] = {}
    planted = ""
    for line in documented_commands():
        name = line.split()[1] if line.startswith(".venv/bin/asv") else line
        if name == "preview":
            with project.serving(line) as address:
                assert "airspeed velocity" in fetch(address)
            continue
        if name == "continuous":
            planted = project.hash_of("planted~1")
        said[name] = project.run(line, WORSE if name == "continuous" else 0)

    own_results = [path for path in (project.folder / "results" / "asv").iterdir() if path.is_dir()]
    assert len(own_results) == 1
    stored = {path.name[:8] for path in own_results[0].glob("*-*.json")}
    assert stored >= {project.hash_of(name)[:8] for name in ("HEAD", "HEAD~1", "HEAD~2")}
    assert "failed" not in said["make history N=3"]
    for benchmark in ("memory.Pipeline", "latency.Ratio.track_ratio", "speed.Commands.time_command", "speed.Cell"):
        assert benchmark in said["make history N=3"]
    assert "sid-streamed" in said["compare"]
    assert "PERFORMANCE DECREASED" in said["continuous"]
    assert f"Greatest regression found: {planted[:8]}" in said["find"]
    assert "planted" not in project.run("git branch && git worktree list")
