"""``make history`` measures each commit with its own code, goes on where it stopped, publishes and draws."""

import json
from pathlib import Path

import pytest
from small_project import Project, documented_commands, fetch

HELD = 4 * 2**20  # bytes that the planted commit holds more
BENCH = "memory.Cascade.track_activation_bytes"


@pytest.mark.timeout(900)
@pytest.mark.long
def test_two_commits_that_differ_in_bytes_give_different_bytes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    planting = [line for line in documented_commands() if "planted" in line and not line.startswith(".venv/bin/asv")][
        :4
    ]
    for line in planting:
        project.run(line)
    project.list_commits("planted~2", "planted~1")
    command = f"make history N=1 ALSO=HEAD MACHINE=here BENCH={BENCH}"
    project.run(command)
    before, after = (project.stored_bytes("here", name) for name in ("HEAD", "planted~1"))
    more = {method: after[depth, method] - before[depth, method] for depth, method in before if depth == "64"}
    assert more == {
        "bp": 0,
        "bp-checkpoint": 0,
        "sid-published": 0,
        "sid-streamed-autograd": HELD,
        "sid-streamed": HELD,
        "sid-vectorised": 0,
    }

    assert "For sid-bench commit" not in project.run(command)  # all of it is stored
    nothing = project.run(".venv/bin/python -m bench.asv --machine here --bench no.such", code=2)
    assert "No benchmarks selected" in nothing

    picture = (project.folder / "reports" / "here" / "history.svg").read_text()
    for name, mebibytes in (("HEAD", before["64", "sid-streamed"]), ("planted~1", after["64", "sid-streamed"])):
        assert f"{project.hash_of(name)[:7]}: activations at depth 64, MiB:" in picture
        assert f"sid-streamed {mebibytes / 2**20:.3f}" in picture

    compared = project.run(".venv/bin/asv compare HEAD planted~1 --factor 1.001")
    assert compared.count("| +") == 4

    with project.serving(".venv/bin/asv preview") as address:
        assert "airspeed velocity" in fetch(address)
        index = json.loads(fetch(f"{address}index.json"))
    assert BENCH in index["benchmarks"]
    assert set(index["revision_to_hash"].values()) >= {project.hash_of("HEAD")}
