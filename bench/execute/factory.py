"""The executor of a sweep."""

from bench.execute.executor import Executor, ExecutorSettings
from bench.execute.executors import executor_row


def make_executor(settings: ExecutorSettings) -> Executor:
    """Makes the executor that ``settings`` names.

    Raises:
        BenchError: there is no such executor, or this machine cannot do what the settings ask for.
    """
    executor: Executor = executor_row(settings.executor).function()(settings)
    return executor
