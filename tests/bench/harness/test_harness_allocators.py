"""The allocator of a cell: found, loaded for its process alone, recorded as it is, or refused before anything runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import TINY, bench_environment, count_lines, sound_records, write_sweep

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.execute.fork_client import ForkServer
from bench.execute.messages import Limits, Request
from bench.machine import allocators
from bench.machine.allocators import ALLOCATORS, SYSTEM, Allocator, find_library, malloc_variables, preloading
from bench.machine.malloc import kept_memory

OTHERS = [allocator for allocator in ALLOCATORS if allocator != SYSTEM]
INSTALLED = [allocator for allocator in OTHERS if find_library(allocator) is not None]
PRINT = "from bench.machine.allocators import *; print(loaded_allocator(), malloc_variables())"
needs_one = pytest.mark.skipif(not INSTALLED, reason=f"none of {', '.join(OTHERS)} is installed")


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """No allocator is installed, whatever this machine has."""
    monkeypatch.setattr(allocators, "find_library", lambda _: None)


def printed(environment: dict[str, str], code: str = PRINT) -> str:
    """What ``code`` prints in a process with ``environment``."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("allocator", OTHERS)
def test_a_process_loads_the_allocator_and_says_so(allocator: Allocator) -> None:
    if allocator not in INSTALLED:
        pytest.skip(f"{allocator} is not installed")
    variables = {"MALLOC_ARENA_MAX": "1", "MALLOC_CONF": "", "TCMALLOC_A": "2", "MIMALLOC_A": "3"}
    read = {"jemalloc": {"MALLOC_CONF": ""}, "tcmalloc": {"TCMALLOC_A": "2"}, "mimalloc": {"MIMALLOC_A": "3"}}
    found = printed(bench_environment() | variables | preloading(allocator))
    assert found == f"{allocator} {read[allocator]}\n", "other allocators' variables mean nothing to it"


@needs_one
def test_of_several_libraries_that_are_loaded_the_first_serves_the_process() -> None:
    first, last = INSTALLED[0], INSTALLED[-1]
    environment = preloading(first, {"LD_PRELOAD": str(find_library(last))})
    assert environment["LD_PRELOAD"] == f"{find_library(first)}:{find_library(last)}"
    assert printed(bench_environment() | environment).startswith(first)


def test_what_the_user_preloads_is_recorded_and_stays_for_cells_of_the_system() -> None:
    assert preloading(SYSTEM, {"LD_PRELOAD": "libjemalloc.so.2"}) == {}
    assert printed(bench_environment()).startswith(SYSTEM)
    for allocator in INSTALLED:
        assert printed(bench_environment() | {"LD_PRELOAD": str(find_library(allocator))}).startswith(allocator)


def test_variables_of_another_allocator_do_not_change_how_glibc_keeps_memory() -> None:
    assert kept_memory({"MALLOC_CONF": "narenas:1"}) == kept_memory({})
    assert malloc_variables({"MALLOC_CONF": "narenas:1", "MALLOC_ARENA_MAX": "1"}) == {"MALLOC_ARENA_MAX": "1"}


def test_a_library_is_found_beside_those_of_python_and_by_a_path_that_can_be_preloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("with space", "lib"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "libmimalloc.so.3").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}/with space:")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert find_library.__wrapped__("mimalloc") == str(tmp_path / "lib" / "libmimalloc.so.3")


@pytest.mark.usefixtures("without_libraries")
@pytest.mark.parametrize("allocator", OTHERS)
def test_an_allocator_that_is_not_installed_is_refused_before_anything_runs(
    allocator: Allocator, cli: RunCli, tmp_path: Path, results: Path
) -> None:
    sweep = write_sweep(tmp_path / "s.toml", dataset="random", allocator=[SYSTEM, allocator], passes=["latency"])
    ended = cli("run", sweep, "--out", results)
    assert ended.exit_code == 2
    refusal = f"allocator = '{allocator}' is not installed; legal here: system; on Debian, apt-get install lib"
    assert refusal in " ".join(ended.stderr.split())
    assert count_lines(results) == 0


def test_a_library_that_cannot_be_loaded_is_refused_by_the_check_of_a_cell(tmp_path: Path, server: ForkServer) -> None:
    library = tmp_path / "libjemalloc.so.2"
    library.write_bytes(b"\x7fELF, but for another machine")
    environment = bench_environment() | {"LD_LIBRARY_PATH": str(tmp_path), "LD_PRELOAD": str(library)}
    code = """
from bench.machine.allocators import require_allocator
try:
    require_allocator("jemalloc")
except Exception as error:
    print(error)
"""
    reason = "allocator = 'jemalloc' could not be loaded from {}: the process runs with system"
    assert printed(environment, code).startswith(reason.format(library))

    cell = make_cell(TINY | {"method": "bp", "dataset": "random", "allocator": "jemalloc"})
    answer = server.ask(Request(task="check", cells=(cell,), limits=Limits(timeout_seconds=60)))
    assert answer.final
    assert str(answer.message).startswith(reason.format(find_library("jemalloc")))


@pytest.mark.long
@needs_one
def test_each_cell_runs_with_its_allocator_and_its_record_names_it(
    measuring_cli: RunCli, tmp_path: Path, results: Path
) -> None:
    axes = {"dataset": "random", "passes": ["latency"], "latency_seconds": 0.01, "allocator": [SYSTEM, INSTALLED[0]]}
    ended = measuring_cli("run", write_sweep(tmp_path / "s.toml", method="bp", **axes), "--out", results)
    assert ended.exit_code == 0, ended.output
    system, other = sound_records(results)
    assert str(system.environment["memory_allocator"]).startswith(SYSTEM)
    assert system.environment["malloc_variables"] == malloc_variables(os.environ | kept_memory())
    assert other.environment["memory_allocator"] == INSTALLED[0]
    assert other.environment["malloc_variables"] == {}
    assert INSTALLED[0] in ended.stdout


def test_cells_with_the_allocator_of_the_system_keep_their_ids() -> None:
    axes = {"method": "bp", "dataset": "random", "passes": ["memory"]}
    assert make_cell(axes).id == make_cell(axes | {"allocator": SYSTEM}).id == "896286ba37731777"
    assert len({make_cell(axes | {"allocator": allocator}).id for allocator in ALLOCATORS}) == len(ALLOCATORS)
    with pytest.raises(ConfigError, match="allocator = 'malloc'; legal: system"):
        make_cell(axes | {"allocator": "malloc"})
