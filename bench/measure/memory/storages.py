"""The exact instrument: follows every tensor storage from the operator that makes it to its death."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from sid_core.phases import Phase

_LIFT_FRESH = torch.ops.aten.lift_fresh.default

Region = Literal["trunk", "modules"]


@dataclass(eq=False)
class Storage:
    """A storage that was created under the meter.

    ``is_activation`` turns true when a backward part begins while a storage from a forward part is still held.
    """

    bytes: int
    region: Region
    is_activation: bool = False


@dataclass(frozen=True)
class Event:
    """A change of live bytes: after how many operators, in which phase, of which storage, by how much."""

    operator: int
    phase: Phase
    storage: Storage
    bytes: int


class StorageMeter(TorchDispatchMode):
    """Counts the bytes of storages created while it is active, on one kind of device.

    An operator's output whose storage was not seen before is new; an operator's input whose storage was not seen
    before existed already and never counts (parameters, inputs, gradient buffers, optimizer state). Views and in-place
    results share a storage that is known, so each storage counts once. A storage leaves the sum when it is freed. The
    instrument is deterministic and the same on every device; it does not see workspaces inside an operator.

    Args:
        device: storages on this kind of device count.
        round_to: each storage counts with its bytes rounded up to a multiple of this, as an allocator would.

    Attributes:
        live: bytes alive now.
        peak: the largest value of ``live`` so far, in bytes.
        operators: operators run so far.
        events: every change of ``live``, in order.
        phase: the phase of the step; whoever knows it sets it with :meth:`enter`.
        region: the part of the network that runs; whoever knows it sets it.
    """

    def __init__(self, device: torch.device, round_to: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.operators = 0
        self.events: list[Event] = []
        self.phase: Phase = "forward"
        self.region: Region = "modules"
        self._device_type = device.type
        self._round_to = round_to
        # By the address of the storage: what it counts as (None: it existed before), and a weak reference that tells
        # of its death.
        self._known: dict[int, tuple[Storage | None, weakref.ref[Any]]] = {}
        self._made_forward: list[weakref.ref[Storage]] = []
        self._patches = ExitStack()

    def enter(self, phase: Phase) -> None:
        """Says that ``phase`` begins; what a forward part has made and is still held then is an activation."""
        if phase != "forward":
            self._settle_activations()
        self.phase = phase

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator and books its storages."""
        kwargs = kwargs or {}
        if any(is_traceable_wrapper_subclass(leaf) for leaf in tree_leaves((args, kwargs))):
            return NotImplemented  # the wrapper takes it apart into operators on what it wraps, which come here
        self.operators += 1
        made_forward = self._is_forward()
        if not made_forward:
            self._settle_activations()
        book_output = partial(self._count, made_forward=made_forward)
        # torch.tensor(...) fills its storage outside of any operator, then lifts it: that input is new, and the output
        # is the same storage, or takes its place where tensors are fake.
        if func is not _LIFT_FRESH:
            self._for_each_storage((args, kwargs), self._exclude)
        output = func(*args, **kwargs)
        self._for_each_storage(output, book_output)
        return output

    def __enter__(self) -> Self:
        """Starts counting."""
        self._patches.enter_context(_told_of_what_is_no_operator(self))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops counting; storages that live on are forgotten."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        self._patches.close()
        self._known.clear()
        self._made_forward.clear()

    def book(self, storage: torch.UntypedStorage) -> None:
        """Counts ``storage``, which something other than an operator has made or resized."""
        if storage.device.type == self._device_type:
            self._count(storage, made_forward=self._is_forward())

    def _is_forward(self) -> bool:
        """Whether a forward part runs; a checkpoint recomputes in the backward phase, with gradients enabled."""
        return self.phase == "forward" or (self.phase == "backward" and torch.is_grad_enabled())

    def _settle_activations(self) -> None:
        for reference in self._made_forward:
            storage = reference()
            if storage is not None and storage.bytes:
                storage.is_activation = True
        self._made_forward.clear()

    def _for_each_storage(self, tree: Any, book: Callable[[torch.UntypedStorage], None]) -> None:
        for leaf in tree_leaves(tree):
            if isinstance(leaf, Tensor) and leaf.device.type == self._device_type and leaf.layout is torch.strided:
                book(leaf.untyped_storage())
            elif isinstance(leaf, torch.UntypedStorage) and leaf.device.type == self._device_type:
                book(leaf)

    def _exclude(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._known:
            self._follow(storage, None)

    def _count(self, storage: torch.UntypedStorage, made_forward: bool) -> None:
        size = rounded_up(storage.nbytes(), self._round_to)
        address = storage._cdata
        if address in self._known:
            known = self._known[address][0]
            if known is not None and known.bytes != size:  # resized in place
                self._change(known, size - known.bytes)
            return
        created = Storage(0, self.region)
        self._follow(storage, created)
        if made_forward:
            self._made_forward.append(weakref.ref(created))
        self._change(created, size)

    def _follow(self, storage: torch.UntypedStorage, entry: Storage | None) -> None:
        address = storage._cdata
        self._known[address] = (entry, weakref.ref(storage, partial(self._forget, address)))

    def _forget(self, address: int, _reference: object) -> None:
        entry, _ = self._known.pop(address, (None, None))
        if entry is not None:
            self._change(entry, -entry.bytes)

    def _change(self, storage: Storage, change: int) -> None:
        if change:
            storage.bytes += change
            self.live += change
            self.peak = max(self.peak, self.live)
            self.events.append(Event(self.operators, self.phase, storage, change))


@contextmanager
def _told_of_what_is_no_operator(meter: StorageMeter) -> Iterator[None]:
    """Has ``meter`` told of what changes storages below the dispatcher, where no mode sees it."""
    resize = torch.UntypedStorage.resize_
    get_state = torch.get_rng_state

    def resize_and_tell(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        resized: torch.UntypedStorage = resize(storage, size)
        if storage._cdata in meter._known:
            meter.book(storage)
        return resized

    def get_state_and_tell() -> Tensor:
        state = get_state()
        meter.book(state.untyped_storage())
        return state

    torch.UntypedStorage.resize_ = resize_and_tell  # type: ignore[method-assign,assignment]
    torch.get_rng_state = get_state_and_tell
    try:
        yield
    finally:
        torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]
        torch.get_rng_state = get_state


def bytes_of(tensors: Sequence[Tensor | None], round_to: int = 1) -> int:
    """The bytes of the storages behind ``tensors``, each storage once and rounded up; None counts nothing."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors if tensor is not None}
    return sum(rounded_up(storage.nbytes(), round_to) for storage in storages.values())


def rounded_up(size: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``size``."""
    return -(-size // multiple) * multiple
