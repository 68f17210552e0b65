"""The name of the module that computes at any moment of a step, forward and backward.

Hooks on modules would disable hand-written backward passes, so calls of modules are observed in the class
``torch.nn.Module``. A node of autograd belongs to the module that ran when the node was made: nodes are numbered in the
order in which they are made. Where no module is called and autograd does not run, as in hand-written passes, the rule
reports the number of its module (:mod:`sid_core.phases`).
"""

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import nn

from bench.store.traced_step import OUTSIDE
from bench.train.step import TrainingStep

AUXILIARY = "auxiliary"
_MODULES = "local_modules"
_NO_NUMBER = 2**63


def names_of(step: TrainingStep) -> dict[nn.Module, str]:
    """Return the name of each module of ``step``, in the order of its network, which itself has none.

    Where the step recomputes, a module and the view of it that runs again have one name.
    """
    roots: list[tuple[str, nn.Module]] = [("", step.network), ("", step.plain_network or step.network)]
    if step.auxiliary is not None:
        roots.append((AUXILIARY, step.auxiliary))
    names: dict[nn.Module, str] = {}
    for prefix, root in roots:
        for name, module in root.named_modules():
            full = ".".join(filter(None, (prefix, name)))
            if full:
                names.setdefault(module, full)
    return names


class ModuleNames:
    """Follows the calls of modules in its context; a context manager.

    Args:
        names: the names of the modules to follow. Calls of others count for the module that calls them.
        number: tells the number of the module that the rule has reported, from 1, or None.
    """

    def __init__(self, names: Mapping[nn.Module, str], number: Callable[[], int | None]) -> None:
        self._names = names
        self._number = number
        self._calls: defaultdict[int, list[str]] = defaultdict(list)  # by thread, the innermost last
        # By thread: the numbers of autograd's nodes at which another module began, in order, and the names of these.
        self._begins: defaultdict[int, tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
        self._patch = patch.object(nn.Module, "__call__", self._followed(nn.Module.__call__))

    def __enter__(self) -> Self:
        self._patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._patch.stop()

    @property
    def is_in_a_module(self) -> bool:
        """Whether a followed module is being called in this thread."""
        return bool(self._calls[threading.get_ident()])

    @property
    def current(self) -> str:
        """The name of the module that computes in this thread."""
        calls = self._calls[threading.get_ident()]
        if calls:
            return calls[-1]
        node = torch._C._current_autograd_node()
        name = None if node is None else self._maker_of(node._sequence_nr())
        return self._reported() if name is None else name

    def begin(self) -> None:
        """Note that nodes of autograd which are made from now on belong to the module that computes now."""
        numbers, names = self._begins[threading.get_ident()]
        numbers.append(torch._C._autograd._get_sequence_nr())
        names.append(self._calls[threading.get_ident()][-1] if self.is_in_a_module else self._reported())

    def _reported(self) -> str:
        number = self._number()
        return OUTSIDE if number is None else f"{_MODULES}.{number - 1}"

    def _maker_of(self, node: int) -> str | None:
        """The name of the module that has made autograd's node number ``node``; None if it is not known.

        Nodes that add gradients up in ``.grad`` have no number. Each thread has numbers of its own, and a node does not
        tell in which one it was made, so a node is not known if modules have run in several.
        """
        if len(self._begins) != 1 or node >= _NO_NUMBER:
            return None
        ((numbers, names),) = self._begins.values()
        place = bisect_right(numbers, node) - 1
        return names[place] if place >= 0 else None

    def _followed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def followed(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            name = self._names.get(module)
            if name is None:
                return call(module, *args, **kwargs)
            calls = self._calls[threading.get_ident()]
            calls.append(name)
            self.begin()
            try:
                return call(module, *args, **kwargs)
            finally:
                calls.pop()
                self.begin()

        return followed
