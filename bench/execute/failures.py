"""The answer for an exception, and failures that PyTorch tells apart by the text of an error only.

Every such text of the harness is in this file. ``tests/bench/harness/test_harness_failures.py`` provokes each of them,
so that a release of PyTorch that words one differently is noticed.
"""

import sysconfig
import traceback
from pathlib import Path

from bench.errors import BenchError, first_line
from bench.execute.messages import Answer
from bench.machine.system import printable

# The CPU's allocator; a C++ container; CUDA where no tensor is allocated, as for pinned memory or a library's context.
_OUT_OF_MEMORY = ("can't allocate memory", "std::bad_alloc", "out of memory")
_INSTALLED = {"site-packages", "dist-packages"}  # the folders that pip and Debian install into
# Gloo's errors about another process begin with the source file that raised them; errors about wrong arguments do not.
_GLOO_TRANSPORT = "gloo/transport/"


def describe_failure(error: Exception) -> Answer:
    """The answer for a cell whose process has raised ``error``."""
    if isinstance(error, BenchError):
        # A loader or a builder of somebody's own may have failed, or run out of memory.
        cause = error.__cause__
        oom = cause is not None and is_out_of_memory(cause)
        place = "" if cause is None else _place(cause)
        return Answer(status="oom" if oom else "crashed", message=printable(str(error)) + place, final=not oom)
    return Answer(status="oom" if is_out_of_memory(error) else "crashed", message=first_line(error) + _place(error))


def _place(error: BaseException) -> str:
    """The innermost line outside of this package and of installed ones, as `` (rules.py:40, in rule)``, if any.

    It is where a rule, a network or a data set of a user's own has failed.
    """
    import sid_core

    ours = [Path(__file__).parents[1], Path(sid_core.__file__).parent, Path(sysconfig.get_path("stdlib"))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        is_installed = not _INSTALLED.isdisjoint(file.parts) or any(file.is_relative_to(root) for root in ours)
        if not is_installed and file.is_file():
            return f" ({file.name}:{frame.lineno}, in {frame.name})"
    return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on the CPU or on a GPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def is_caused_by_another_rank(error: BaseException) -> bool:
    """Whether ``error`` says that another rank ended or did not respond, rather than that this one failed."""
    import torch.distributed as dist

    from sid_core import RankLostError

    if isinstance(error, RankLostError | dist.DistError):
        return True
    return isinstance(error, RuntimeError) and _GLOO_TRANSPORT in str(error)
