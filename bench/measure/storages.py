"""The exact instrument: follows every tensor storage from the operator that makes it to its death."""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_LIFT_FRESH = torch.ops.aten.lift_fresh.default


class StorageMeter(TorchDispatchMode):
    """Counts the bytes of storages created while it is active, on one kind of device.

    An operator's output whose storage was not seen before is new; an operator's input whose storage was not seen
    before existed already and never counts (parameters, inputs, gradient buffers, optimizer state). Views and in-place
    results share a storage that is known, so each storage counts once. A storage leaves the sum when it is freed. The
    instrument is deterministic and the same on every device; it does not see workspaces inside an operator.

    Args:
        device: where the storages lie that count.
        round_to: a storage counts as the next multiple of so many bytes, as an allocator's blocks do.

    Attributes:
        live: bytes alive now.
        peak: the largest value of ``live`` so far, in bytes.
    """

    def __init__(self, device: torch.device, round_to: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._device_type = device.type
        self._round_to = round_to
        # By the address of the storage: what it counts for in bytes (None: it existed before), and a weak reference
        # that tells of its death.
        self._known: dict[int, tuple[int | None, weakref.ref[Any]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator and books its storages."""
        kwargs = kwargs or {}
        # torch.tensor(...) fills its storage outside of any operator, then lifts it: that input is new, and the output
        # is the same storage, or takes its place where tensors are fake.
        if func is not _LIFT_FRESH:
            self._for_each_storage((args, kwargs), self._exclude)
        output = func(*args, **kwargs)
        self._for_each_storage(output, self._count)
        return output

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops counting; storages that live on are forgotten."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        self._known.clear()

    def __enter__(self) -> Self:
        """Starts counting."""
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def _for_each_storage(self, tree: Any, book: Callable[[torch.UntypedStorage], None]) -> None:
        for leaf in tree_leaves(tree):
            if isinstance(leaf, Tensor) and leaf.device.type == self._device_type and leaf.layout is torch.strided:
                book(leaf.untyped_storage())
            elif isinstance(leaf, torch.UntypedStorage) and leaf.device.type == self._device_type:
                book(leaf)

    def _exclude(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._known:
            self._follow(storage, None)

    def _count(self, storage: torch.UntypedStorage) -> None:
        size = rounded_up(storage.nbytes(), self._round_to)
        known = self._known.get(storage._cdata)
        if known is None:
            self._follow(storage, size)
            self._add(size)
        elif known[0] is not None and known[0] != size:  # resized in place
            self._known[storage._cdata] = (size, known[1])
            self._add(size - known[0])

    def _follow(self, storage: torch.UntypedStorage, size: int | None) -> None:
        address = storage._cdata
        self._known[address] = (size, weakref.ref(storage, partial(self._forget, address)))

    def _forget(self, address: int, _reference: object) -> None:
        size, _ = self._known.pop(address, (0, None))
        self._add(-(size or 0))

    def _add(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)


def bytes_of(tensors: Sequence[Tensor | None], round_to: int = 1) -> int:
    """The bytes of the storages behind ``tensors``, each storage once and rounded up; None counts nothing."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors if tensor is not None}
    return sum(rounded_up(storage.nbytes(), round_to) for storage in storages.values())


def rounded_up(size: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``size``."""
    return -(-size // multiple) * multiple
