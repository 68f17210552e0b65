"""The executor of a sweep."""

from bench.execute.executor import Executor, ExecutorSettings
from bench.execute.fork_executor import ForkServerExecutor


def make_executor(settings: ExecutorSettings) -> Executor:
    """Makes the executor that ``sid-bench run`` uses.

    Raises:
        BenchError: this machine cannot do what the settings ask for.
    """
    return ForkServerExecutor(settings)
