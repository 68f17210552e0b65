"""PyTorch's own errors, provoked: which of them say that memory ran out, and which that another rank failed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_tools import bench_environment

from bench.execute.failures import is_caused_by_another_rank, is_out_of_memory
from sid_core import RankLostError

# More bytes than a process can address, so that none of it is ever allocated.
TOO_MANY = 1 << 46
OUT_OF_MEMORY: dict[str, Callable[[], object]] = {
    "a tensor": lambda: torch.empty(TOO_MANY, 1 << 12),
    "a C++ container": lambda: torch.empty(1).expand(TOO_MANY).unbind(),
    "a Python list": lambda: torch.empty(1).expand(TOO_MANY).tolist(),
    "a Python string": lambda: bytearray(TOO_MANY << 4),
}
MISTAKES: dict[str, Callable[[], object]] = {
    "shapes that do not fit": lambda: torch.ones(2, 3) @ torch.ones(2, 3),
    "a size that is no size": lambda: torch.empty(1 << 62),
    "a text that is no number": lambda: int("memory"),
}


def error_of(action: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (which error it is, is the question)
        action()
    return caught.value


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_an_allocation_that_fails_is_out_of_memory(name: str) -> None:
    error = error_of(OUT_OF_MEMORY[name])
    assert is_out_of_memory(error), error
    assert not is_caused_by_another_rank(error)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", [{"device": "cuda"}, {"pin_memory": True}], ids=str)
def test_an_allocation_of_cuda_that_fails_is_out_of_memory(options: dict[str, Any]) -> None:
    error = error_of(lambda: torch.empty(1 << 44, dtype=torch.uint8, **options))
    assert is_out_of_memory(error), error


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_neither_out_of_memory_nor_caused_by_another_rank(name: str) -> None:
    error = error_of(MISTAKES[name])
    assert not is_out_of_memory(error)
    assert not is_caused_by_another_rank(error)


def test_a_lost_rank_of_sid_is_caused_by_another_rank() -> None:
    assert is_caused_by_another_rank(RankLostError("rank 0 of 2 lost another rank"))


@pytest.fixture(scope="module")
def rank_errors() -> dict[str, dict[str, Any]]:
    """The errors of ``lost_rank_job.py``, by case."""
    job = Path(__file__).with_name("lost_rank_job.py")
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, job], env=bench_environment(root), capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


@pytest.mark.parametrize("failure", ["is killed", "exits", "hangs"])
@pytest.mark.parametrize("wait", ["all_reduce", "recv", "send", "gather_object", "new_group"])
@pytest.mark.long
def test_waiting_for_a_rank_that_fails_is_caused_by_another_rank(
    rank_errors: dict[str, dict[str, Any]], wait: str, failure: str
) -> None:
    error = rank_errors[f"{wait}, rank 1 {failure}"]
    assert error["error"] is not None
    assert error["is_caused_by_another_rank"], error
    assert not error["is_out_of_memory"]


def test_a_rank_that_does_not_connect_is_the_cause(rank_errors: dict[str, dict[str, Any]]) -> None:
    error = rank_errors["rank 1 does not connect"]
    assert error["is_caused_by_another_rank"], error


@pytest.mark.parametrize("mistake", ["gather into a list of the wrong length", "reduce tensors that are sparse"])
def test_a_wrong_argument_to_gloo_is_not_caused_by_another_rank(
    rank_errors: dict[str, dict[str, Any]], mistake: str
) -> None:
    error = rank_errors[mistake]
    assert "Gloo" in error["error"]
    assert not error["is_caused_by_another_rank"]
