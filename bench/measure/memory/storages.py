"""The exact memory instrument: tracks every tensor storage from the operator that creates it until it is freed."""

import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from bench.measure.memory.threads import thread_key
from sid_core.phases import Phase

_LIFT_FRESH = torch.ops.aten.lift_fresh.default

Region = Literal["trunk", "modules"]


@dataclass(eq=False)
class Storage:
    """A storage that was created while the meter was active.

    ``is_activation`` becomes true if the storage was created in a forward phase and still exists when the next backward
    phase begins.
    """

    bytes: int
    region: Region
    is_activation: bool = False


@dataclass(frozen=True)
class Event:
    """A change of live bytes.

    Attributes:
        operator: number of operators that ran before.
        phase: phase of the step.
        storage: the storage that was created, resized or freed.
        bytes: the change; negative if live bytes fall.
    """

    operator: int
    phase: Phase
    storage: Storage
    bytes: int


@dataclass
class _Place:
    """Where in the step a thread is."""

    phase: Phase = "forward"
    region: Region = "modules"


class StorageMeter(TorchDispatchMode):
    """Counts the bytes of storages created while it is active, on one kind of device.

    An unknown storage in the output of an operator is new. An unknown storage in the input of an operator existed
    before, and is never counted (parameters, inputs, gradient buffers, optimizer state). Views and in-place results
    share a known storage, so each storage is counted once, until it is freed. The instrument is deterministic and works
    alike on every device. It does not see workspaces inside an operator.

    It counts the operators of the thread that entered it, and those of followed threads that it is lent to
    (:mod:`bench.measure.memory.threads`). Each of these threads has a phase and a region of its own.

    A subclass may override :meth:`on_created` and :meth:`on_changed`, to learn more about each storage and event.

    Args:
        device: only storages on devices of this type are counted.
        round_to: the bytes of each storage are rounded up to a multiple of this, as an allocator does.

    Attributes:
        live: bytes of counted storages that exist now.
        peak: the largest value of ``live`` so far.
        operators: number of operators so far.
        events: every change of ``live``, in order.
        phase: the phase of the step in the calling thread, set with :meth:`enter`.
        region: the part of the network that runs in the calling thread, set by the caller.
    """

    def __init__(self, device: torch.device, round_to: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.operators = 0
        self.events: list[Event] = []
        self._places: defaultdict[object | None, _Place] = defaultdict(_Place)
        # Reentrant, because the callback of a weak reference may run at any moment.
        self._lock = threading.RLock()
        self._device_type = device.type
        self._round_to = round_to
        # By address: the counted storage (None if it existed before), and a weak reference whose callback runs when the
        # storage is freed.
        self._known: dict[int, tuple[Storage | None, weakref.ref[Any]]] = {}
        self._created_forward: list[weakref.ref[Storage]] = []
        self._patches = ExitStack()

    @property
    def phase(self) -> Phase:
        """The phase of the step in the calling thread."""
        return self._places[thread_key()].phase

    @property
    def region(self) -> Region:
        """The part of the network that runs in the calling thread."""
        return self._places[thread_key()].region

    @region.setter
    def region(self, region: Region) -> None:
        self._places[thread_key()].region = region

    def enter(self, phase: Phase) -> None:
        """Begin ``phase``; unless it is forward, storages that a forward phase created become activations."""
        if phase != "forward":
            with self._lock:
                self._mark_activations()
        self._places[thread_key()].phase = phase

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, and count its storages."""
        kwargs = kwargs or {}
        inputs = tree_leaves((args, kwargs))
        if any(is_traceable_wrapper_subclass(leaf) for leaf in inputs):
            return NotImplemented  # the subclass runs the operator on the tensors that it wraps, which come here
        is_forward = self._is_forward()
        count_output = partial(self._count, is_forward=is_forward)
        with self._lock:
            self.operators += 1
            if not is_forward:
                self._mark_activations()
            # torch.tensor(...) fills its storage outside of any operator, then calls lift_fresh. So its input is new,
            # and its output has the same storage, or replaces it if tensors are fake.
            if func is not _LIFT_FRESH:
                self._for_each_storage(inputs, self._exclude)
        output = func(*args, **kwargs)
        with self._lock:
            self._for_each_storage(tree_leaves(output), count_output)
        return output

    def __enter__(self) -> Self:
        """Start counting."""
        self._patches.enter_context(_changes_below_the_dispatcher(self))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop counting, and stop tracking the storages that still exist."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        self._patches.close()
        self._known.clear()
        self._created_forward.clear()

    @property
    def existing_bytes(self) -> int:
        """Bytes of the storages that existed before and that an operator has taken since, each once and rounded up."""
        with self._lock:
            storages = [reference() for created, reference in self._known.values() if created is None]
            return sum(rounded_up(storage.nbytes(), self._round_to) for storage in storages if storage is not None)

    def on_created(self, storage: Storage, is_forward: bool) -> None:
        """Called for each new storage, before its bytes are counted.

        Args:
            storage: the new one.
            is_forward: whether a forward part has created it, which may run again in the backward phase.
        """

    def on_changed(self) -> None:
        """Called after each event, which is the last of ``events``."""

    def counted(self, tensor: Tensor) -> Storage | None:
        """Return the counted storage of ``tensor``; None if it existed before, or is not tracked."""
        with self._lock:
            return self._known.get(tensor.untyped_storage()._cdata, (None, None))[0]

    def count_created(self, storage: torch.UntypedStorage) -> None:
        """Count ``storage``, which was created or resized by something other than an operator."""
        if storage.device.type == self._device_type:
            with self._lock:
                self._count(storage, is_forward=self._is_forward())

    def count_resized(self, storage: torch.UntypedStorage) -> None:
        """Count the new size of ``storage`` if it is tracked."""
        with self._lock:
            if storage._cdata in self._known:
                self.count_created(storage)

    def _is_forward(self) -> bool:
        """Return whether a forward part runs; a checkpoint recomputes in the backward phase, with gradients enabled."""
        return self.phase == "forward" or (self.phase == "backward" and torch.is_grad_enabled())

    def _mark_activations(self) -> None:
        for reference in self._created_forward:
            storage = reference()
            if storage is not None and storage.bytes:
                storage.is_activation = True
        self._created_forward.clear()

    def _for_each_storage(self, leaves: Iterable[Any], visit: Callable[[torch.UntypedStorage], None]) -> None:
        for leaf in leaves:
            if isinstance(leaf, Tensor) and leaf.device.type == self._device_type and leaf.layout is torch.strided:
                visit(leaf.untyped_storage())
            elif isinstance(leaf, torch.UntypedStorage) and leaf.device.type == self._device_type:
                visit(leaf)

    def _exclude(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._known:
            self._track(storage, None)

    def _count(self, storage: torch.UntypedStorage, is_forward: bool) -> None:
        size = rounded_up(storage.nbytes(), self._round_to)
        address = storage._cdata
        if address in self._known:
            known = self._known[address][0]
            if known is not None and known.bytes != size:  # resized in place
                self._change(known, size - known.bytes)
            return
        created = Storage(0, self.region)
        self._track(storage, created)
        self.on_created(created, is_forward)
        if is_forward:
            self._created_forward.append(weakref.ref(created))
        self._change(created, size)

    def _track(self, storage: torch.UntypedStorage, entry: Storage | None) -> None:
        address = storage._cdata
        self._known[address] = (entry, weakref.ref(storage, partial(self._forget, address)))

    def _forget(self, address: int, _reference: object) -> None:
        with self._lock:  # the address is not used again before this callback ends
            entry, _ = self._known.pop(address, (None, None))
            if entry is not None:
                self._change(entry, -entry.bytes)

    def _change(self, storage: Storage, change: int) -> None:
        if change:
            storage.bytes += change
            self.live += change
            self.peak = max(self.peak, self.live)
            self.events.append(Event(self.operators, self.phase, storage, change))
            self.on_changed()


@contextmanager
def _changes_below_the_dispatcher(meter: StorageMeter) -> Iterator[None]:
    """Report to ``meter`` functions that create or resize storages without an operator, so that no mode sees them."""
    resize = torch.UntypedStorage.resize_
    get_state = torch.get_rng_state

    def resize_and_count(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        resized: torch.UntypedStorage = resize(storage, size)
        meter.count_resized(storage)
        return resized

    def get_state_and_count() -> Tensor:
        state = get_state()
        meter.count_created(state.untyped_storage())
        return state

    torch.UntypedStorage.resize_ = resize_and_count  # type: ignore[method-assign,assignment]
    torch.get_rng_state = get_state_and_count
    try:
        yield
    finally:
        torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]
        torch.get_rng_state = get_state


def bytes_of(tensors: Sequence[Tensor | None], round_to: int = 1) -> int:
    """Return the bytes of the storages of ``tensors``, each storage once and rounded up; None counts as 0."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors if tensor is not None}
    return sum(rounded_up(storage.nbytes(), round_to) for storage in storages.values())


def rounded_up(size: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is not less than ``size``."""
    return -(-size // multiple) * multiple
