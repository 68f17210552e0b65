"""Networks under torch.compile: which parts are compiled, and a guard against compilation while steps are timed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.errors import ConfigError, first_line
from sid_core import BeliefNetwork

# There is one graph per shape of a module, with and without gradients, in training and in evaluation mode. PyTorch's
# limit of 8 is meant for a single model.
_GRAPHS = 256


def compile_modules(network: BeliefNetwork) -> None:
    """Make the trunk and each local module of ``network`` compile at their first call, in place.

    Every rule calls these parts, so all rules are compiled alike. Sizes are constants of a graph. A module that cannot
    be compiled as one graph raises an error, and so does a graph beyond the limit, which PyTorch would silently run
    uncompiled.
    """
    from torch._dynamo import config as dynamo
    from torch._inductor import config as inductor

    dynamo.recompile_limit = _GRAPHS
    dynamo.fail_on_recompile_limit_hit = True
    inductor.compile_threads = 1  # more threads would be processes that outlive the cell
    for module in (network.trunk, *network.local_modules):
        module.compile(fullgraph=True, dynamic=False)


@contextmanager
def all_compiled() -> Iterator[None]:
    """Forbid compilation in the context.

    Raises:
        RuntimeError: a function called in the context is not compiled for its arguments.
    """
    with torch.compiler.set_stance("fail_on_recompile"):
        yield


def require_compiler(device: str) -> None:
    """Check that torch.compile can run on ``device``: it needs a C++ compiler, and Triton on CUDA.

    Raises:
        ConfigError: the compiler or Triton is missing.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ConfigError(
            f"compile = True needs a C++ compiler, such as g++ or the one named by the variable CXX "
            f"({first_line(error)}); legal: False"
        ) from None
    if device != "cpu" and not has_triton():
        raise ConfigError(f"compile = True on {device!r} needs Triton; legal: False")
