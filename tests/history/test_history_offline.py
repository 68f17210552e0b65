"""``make history`` where pip finds no package index: it says what asv needs, without a traceback."""

from pathlib import Path

import pytest
from small_project import Project


@pytest.mark.timeout(300)
@pytest.mark.long
def test_without_a_package_index_it_says_what_asv_needs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.list_commits("HEAD")
    project.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}
    said = project.run("make history MACHINE=here", code=2)
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "create its environment in .asv/env: No matching distribution found for wheel. " in lines[0]
    assert "pip needs a package index such as PyPI, and about 6 GB of disk" in lines[0]
    assert not (project.folder / "reports").exists()
