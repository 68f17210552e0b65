"""Types of the fixtures that run ``sid-bench`` in the process of the tests."""

from collections.abc import Callable
from typing import Any

from bench.execute.executor import Executor, ExecutorSettings

RunCli = Callable[..., Any]  # arguments of sid-bench -> exit_code, stdout, stderr, exception
ExecutorFactory = Callable[[ExecutorSettings], Executor]
UseExecutor = Callable[[ExecutorFactory], None]
