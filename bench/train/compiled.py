"""Networks under torch.compile: what is compiled, by what, and never while time is taken."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.errors import ConfigError, first_line
from sid_core import BeliefNetwork

# Each shape of a module, with and without gradients, in training and not, is a graph of its own. PyTorch's limit of 8
# stands for one model.
_GRAPHS = 256


def compile_modules(network: BeliefNetwork) -> None:
    """Has the trunk and each local module of ``network`` compiled at their first call, in place.

    These are the parts that every rule calls, so all rules are compiled alike. Sizes are constants of a graph, a module
    becomes one graph, and one that can't be is an error; so is a graph beyond the limit, which PyTorch would leave
    uncompiled in silence.
    """
    from torch._dynamo import config as dynamo
    from torch._inductor import config as inductor

    dynamo.recompile_limit = _GRAPHS
    dynamo.fail_on_recompile_limit_hit = True
    inductor.compile_threads = 1  # more are processes, which would outlive the cell
    for module in (network.trunk, *network.local_modules):
        module.compile(fullgraph=True, dynamic=False)


@contextmanager
def all_compiled() -> Iterator[None]:
    """Makes it an error to compile anything in the context.

    Raises:
        RuntimeError: something called in the context is not compiled yet for the arguments that it gets.
    """
    with torch.compiler.set_stance("fail_on_recompile"):
        yield


def require_compiler(device: str) -> None:
    """Looks for what torch.compile needs on ``device``: a C++ compiler, and Triton on CUDA.

    Raises:
        ConfigError: it is not there.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.utils._triton import has_triton

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ConfigError(
            f"compile = True needs a C++ compiler, such as g++ or what CXX names ({first_line(error)}); legal: False"
        ) from None
    if device != "cpu" and not has_triton():
        raise ConfigError(f"compile = True on {device!r} needs Triton; legal: False")
