"""The exact memory instrument with the origin of each storage: its module, its operator, its purpose, its Python stack.

A storage is logits or a belief by what is computed from it: a softmax over the classes outside of every module takes
logits and gives beliefs, and so does its logarithm. Copies are what they copy. All else follows from the phase in which
a storage was created, and from whether it exists when a backward phase begins.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench.measure.memory.storages import Storage, StorageMeter
from bench.measure.phases import LETTERS
from bench.measure.trace.module_names import ModuleNames
from bench.store.traced_step import Created, CreatedStorages, OperatorRuns, StorageEvents
from sid_core.phases import Phase

Purpose = Literal["logits", "beliefs"]

_aten = torch.ops.aten
_SOFTMAX = frozenset({_aten._softmax.default, _aten._softmax.out, _aten._log_softmax.default, _aten._log_softmax.out})
# Their outputs are what all of their inputs are.
_KEEPS_PURPOSE = frozenset(
    {_aten.exp.default, _aten.log.default, _aten._to_copy.default, _aten.clone.default, _aten.stack.default}
)
# Code of PyTorch and of the instruments, which would be in every stack, and that which calls the step.
_NOT_SHOWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
_CALLS_THE_STEP = str(Path(__file__).parents[1] / "memory" / "measure.py")


class _Origin(NamedTuple):
    """Where a storage comes from; module, operator and stack are numbers."""

    module: int
    operator: int
    stack: int
    phase: Phase
    is_forward: bool


class Numbered:
    """Gives each distinct item a number, from 0, in the order in which they come.

    Attributes:
        items: by number.
    """

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._numbers: dict[Any, int] = {}
        self.items: list[Any] = []
        for item in items:
            self.number(item)

    def number(self, item: Any) -> int:
        """Return the number of ``item``."""
        if item not in self._numbers:
            self._numbers[item] = len(self.items)
            self.items.append(item)
        return self._numbers[item]


class OriginMeter(StorageMeter):
    """Counts as a :class:`StorageMeter` does, and notes where each storage comes from and when operators run.

    Args:
        device: as for :class:`StorageMeter`.
        names: tells which module computes.
        modules: gives their names numbers.
        classes: C, which tells a softmax over classes from others.

    Attributes:
        operator_names: names of operators.
        stacks: of Python, each the numbers of its frames, innermost first.
        frames: (file, line, function) by number.
    """

    def __init__(self, device: torch.device, names: ModuleNames, modules: Numbered, classes: int) -> None:
        super().__init__(device)
        self._modules = modules
        self.operator_names = Numbered()
        self.stacks = Numbered()
        self.frames = Numbered()
        self._names = names
        self._classes = classes
        self._own = threading.local()  # its attribute ``operator`` is the name of the one that runs in the thread
        self._origins: dict[Storage, _Origin] = {}
        self._purposes: dict[Storage, Purpose] = {}
        self._seconds: list[float] = []
        self._runs: list[tuple[int, int, str, float, float]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, count its storages, and note what is known of them."""
        start = time.perf_counter()
        self._own.operator = _name_of(func)
        run = self.operator_names.number(self._own.operator), self._modules.number(self._names.current)
        try:
            output = super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            del self._own.operator
        if output is not NotImplemented:
            self._note_purposes(func, args, output)
            self._runs.append((*run, LETTERS[self.phase], start, time.perf_counter()))
        return output

    def on_created(self, storage: Storage, is_forward: bool) -> None:
        """Note where ``storage`` comes from."""
        self._origins[storage] = _Origin(
            self._modules.number(self._names.current),
            self.operator_names.number(getattr(self._own, "operator", "outside of operators")),
            self.stacks.number(tuple(map(self.frames.number, _python_stack()))),
            self.phase,
            # In a backward phase, what runs again is called as a module; the first gradient is made outside of any.
            is_forward and (self.phase == "forward" or self._names.is_in_a_module),
        )

    def on_changed(self) -> None:
        """Note when live bytes changed."""
        self._seconds.append(time.perf_counter())

    def note_belief(self, belief: Tensor) -> None:
        """Note that the network has made ``belief``."""
        self._note(belief, "beliefs")

    def created(self) -> CreatedStorages:
        """Return what the step has created; call it when the step has ended."""
        origins = self._origins.items()
        return CreatedStorages(
            module=[origin.module for _, origin in origins],
            category=[self._category_of(storage, origin) for storage, origin in origins],
            operator=[origin.operator for _, origin in origins],
            stack=[origin.stack for _, origin in origins],
        )

    def storage_events(self, start_seconds: float) -> StorageEvents:
        """Return every change of live bytes; times are from ``start_seconds`` by ``time.perf_counter``."""
        numbers = {storage: number for number, storage in enumerate(self._origins)}
        return StorageEvents(
            seconds=[seconds - start_seconds for seconds in self._seconds],
            operators=[event.operator for event in self.events],
            phase="".join(LETTERS[event.phase] for event in self.events),
            storage=[numbers[event.storage] for event in self.events],
            bytes=[event.bytes for event in self.events],
        )

    def operator_runs(self, start_seconds: float) -> OperatorRuns:
        """Return every operator that has run; times are from ``start_seconds`` by ``time.perf_counter``."""
        names, modules, phases, starts, ends = zip(*self._runs, strict=True) if self._runs else ((),) * 5
        return OperatorRuns(
            name=list(names),
            module=list(modules),
            phase="".join(phases),
            start_seconds=[start - start_seconds for start in starts],
            end_seconds=[end - start_seconds for end in ends],
        )

    def _category_of(self, storage: Storage, origin: _Origin) -> Created:
        purpose = self._purposes.get(storage)
        if purpose is not None:
            return purpose
        if origin.phase == "optimizer":
            return "optimizer temporaries"
        if not origin.is_forward:
            return "gradients" if origin.phase == "backward" else "temporaries"
        if not storage.is_activation:
            return "temporaries"
        return "recomputed activations" if origin.phase == "backward" else "activations"

    def _note_purposes(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        if func in _SOFTMAX:
            if self._is_over_classes(*args[:2]) and not self._names.is_in_a_module:
                self._note(args[0], "logits")
                self._note(output, "beliefs")
        elif func in _KEEPS_PURPOSE and not self._names.is_in_a_module:
            inputs = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            known = {self._purpose_of(tensor) for tensor in inputs}
            if len(known) == 1 and (purpose := known.pop()) is not None:
                self._note(output, purpose)

    def _is_over_classes(self, logits: Tensor, dimension: int) -> bool:
        return logits.dim() > 1 and logits.shape[dimension] == self._classes

    def _purpose_of(self, tensor: Tensor) -> Purpose | None:
        storage = self.counted(tensor)
        return None if storage is None else self._purposes.get(storage)

    def _note(self, tensor: Tensor, purpose: Purpose) -> None:
        storage = self.counted(tensor)
        if storage is not None:
            self._purposes.setdefault(storage, purpose)


def _name_of(func: Any) -> str:
    """Return the name of an operator as PyTorch's profiler writes it."""
    schema = getattr(func, "_schema", None)  # operators of higher order have none
    return str(func) if schema is None else str(schema.name)


def _python_stack() -> Iterator[tuple[str, int, str]]:
    """Yield the frames of the step, innermost first, without those of PyTorch and of the instruments."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (code := frame.f_code).co_filename != _CALLS_THE_STEP:
        if not code.co_filename.startswith(_NOT_SHOWN):
            yield code.co_filename, frame.f_lineno, code.co_qualname
        frame = frame.f_back
