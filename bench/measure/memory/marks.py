"""Marks each operator that a dispatch mode sees, so that a profile tells which operators no mode has seen."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.autograd.profiler import record_function
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

MARK = "sid-bench operator"


class AtOperators(TorchDispatchMode):
    """Runs every operator through ``run``."""

    def __init__(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(is_traceable_wrapper_subclass(leaf) for leaf in tree_leaves((args, kwargs))):
            return NotImplemented
        return self._run(lambda: func(*args, **kwargs))


def marked(operator: Callable[[], Any]) -> Any:
    """Run the operator inside an event of the profiler that is called :data:`MARK`."""
    with record_function(MARK):
        return operator()
