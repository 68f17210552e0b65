"""Networks under torch.compile: which parts are compiled, and compilation as on a machine that has stored no code."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.config.cell import Cell
from bench.errors import ConfigError, first_line
from sid_core import BeliefNetwork

# There is one graph per shape of a module, with and without gradients, in training and in evaluation mode. PyTorch's
# limit of 8 is meant for a single model.
_GRAPHS = 256


def set_up_compiler() -> None:
    """Set torch.compile up for this process.

    A graph beyond the limit raises an error; PyTorch would silently run it uncompiled.
    """
    from torch._dynamo import config as dynamo
    from torch._inductor import config as inductor

    dynamo.recompile_limit = _GRAPHS
    dynamo.fail_on_recompile_limit_hit = True
    inductor.compile_threads = 1  # more threads would be processes that outlive the cell


def compile_modules(network: BeliefNetwork) -> None:
    """Make the trunk and each local module of ``network`` compile at their first call, in place.

    Every rule calls these parts, so all rules are compiled alike. Sizes are constants of a graph. A module that cannot
    be compiled as one graph raises an error.
    """
    for module in (network.trunk, *network.local_modules):
        module.compile(fullgraph=True, dynamic=False)


@contextmanager
def without_stored_code() -> Iterator[None]:
    """Compile in the context as a machine does that has compiled no step before; its code is deleted at the end.

    A first function is compiled at once: it builds what all others share, such as precompiled headers.
    """
    from torch._inductor.utils import fresh_cache

    with fresh_cache():
        torch.compile(torch.cos)(torch.ones(8))
        yield


def require_compiler(cell: Cell) -> None:
    """Check that torch.compile can run on the cell's device: it needs a C++ compiler, and Triton on CUDA.

    Raises:
        ConfigError: the compiler or Triton is missing.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    what, legal = ("compile = True", "False") if cell.compile else (f"method {cell.method!r}", "other methods")
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ConfigError(
            f"{what} needs a C++ compiler, such as g++ or the one named by the variable CXX "
            f"({first_line(error)}); legal: {legal}"
        ) from None
    if cell.device != "cpu" and not has_triton():
        raise ConfigError(f"{what} on {cell.device!r} needs Triton; legal: {legal}")
