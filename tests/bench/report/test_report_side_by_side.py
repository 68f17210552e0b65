"""The slow sections of a page are made by processes of their own, which may fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from record_builder import make_record

from bench.report import beside
from bench.report.inputs import Inputs, read_inputs
from bench.report.sections.section import Section
from bench.report.sections.side_by_side import begun

HERE = os.getpid()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes inherit nothing elsewhere")


class TwoCPUs:
    """A machine with two CPUs."""

    core_count = 2


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "this_system", TwoCPUs)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    file = tmp_path / "some.jsonl"
    file.write_text(f"{make_record({'passes': ['memory']}, 1000).line()}\n")
    return read_inputs([file])


def process_of(_: Inputs) -> int:
    return os.getpid()


def killed(_: Inputs) -> int:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def fails(_: Inputs) -> int:
    raise ValueError("planted")


def sleeps(_: Inputs) -> int:
    time.sleep(60)
    return os.getpid()


def nothing(_: Inputs) -> None:
    return None


def sections(*contents: Callable[[Inputs], Any]) -> list[Section]:
    quick = Section("quick", "Quick", process_of)
    return [quick, *(Section(f"s{i}", f"S{i}", content, is_slow=True) for i, content in enumerate(contents))]


def made(inputs: Inputs, *contents: Callable[[Inputs], Any]) -> dict[str, Any]:
    with begun(sections(*contents), inputs) as make:
        return {filled.name: filled.content for filled in make(lambda _: None)}


def test_slow_sections_are_made_elsewhere_and_empty_ones_are_left_out(inputs: Inputs) -> None:
    found = made(inputs, process_of, nothing, process_of)
    assert list(found) == ["quick", "s0", "s2"]
    assert found["quick"] == HERE
    assert HERE not in (found["s0"], found["s2"])


def test_what_a_killed_process_leaves_is_made_here(inputs: Inputs) -> None:
    found = made(inputs, killed, killed, nothing, process_of)
    assert list(found) == ["quick", "s0", "s1", "s3"]
    assert (found["s0"], found["s1"]) == (HERE, HERE)


def test_where_no_process_can_be_started_all_is_made_here(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    assert made(inputs, process_of, process_of) == {"quick": HERE, "s0": HERE, "s1": HERE}


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_outside_of_linux_all_is_made_here(inputs: Inputs, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert made(inputs, process_of, process_of) == {"quick": HERE, "s0": HERE, "s1": HERE}


def test_an_error_in_a_section_ends_the_others(inputs: Inputs) -> None:
    others = set(psutil.Process().children())  # of tests that ran before in this process
    start = time.monotonic()
    with pytest.raises(ValueError, match="planted"):
        made(inputs, fails, sleeps)
    assert time.monotonic() - start < 30
    assert set(psutil.Process().children()) <= others


_PROGRAM = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from bench.report import beside
from bench.report.inputs import read_inputs
from bench.report.sections.side_by_side import begun
from bench.report.sections.section import Section

def sleeps(_):
    os.write(1, b"begun\\n")
    time.sleep(60)

beside.this_system = lambda: SimpleNamespace(core_count=2)
slow = [Section(name, name, sleeps, is_slow=True) for name in ("a", "b")]
with begun(slow, read_inputs([Path(sys.argv[1])])) as make:
    make(lambda _: None)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("ends", "is_group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGKILL, False)],
    ids=["Ctrl-C", "interrupted", "killed"],
)
def test_the_processes_end_with_the_report(inputs: Inputs, ends: signal.Signals, is_group: bool) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(inputs.files[0])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert [program.stdout.readline() for _ in range(2)] == ["begun\n", "begun\n"]
    children = psutil.Process(program.pid).children()
    assert len(children) == 2
    (os.killpg if is_group else os.kill)(program.pid, ends)
    _, errors = program.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=10)
    for process in alive:
        process.kill()
    assert alive == []
    assert errors.count("Traceback") <= (ends == signal.SIGINT)  # the report's own
