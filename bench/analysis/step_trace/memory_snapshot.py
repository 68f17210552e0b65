"""A traced step as a memory snapshot of PyTorch, the file that ``pytorch.org/memory_viz`` opens.

The format is that of ``torch.cuda.memory._dump_snapshot``: a pickle of a dictionary with ``segments`` and
``device_traces``, see the docstring of ``torch.cuda.memory._snapshot``. The viewer reads pickles with a parser of its
own, which knows protocols 2 to 4 and plain types.

A storage has no address in the exact instrument. Here it gets the lowest free one in one segment, so the picture of
the segment shows how a step could be laid out, and not how an allocator did it.
"""

import pickle
from bisect import bisect, insort
from collections.abc import Mapping
from typing import Any

from bench.analysis.step_trace.parts import shown
from bench.store.traced_step import TracedStep

_PROTOCOL = 4
_FIRST_ADDRESS = 1 << 40  # below 2**53, which the viewer's numbers hold exactly
_POOL = (0, 0)
# The viewer needs a category of this name, for blocks that have none.
_UNKNOWN = "unknown"

Frames = list[dict[str, Any]]


def snapshot_of(traced: TracedStep) -> dict[str, Any]:
    """Return the snapshot: PyTorch's own for a step on CUDA, else one that is made of the exact instrument's events.

    It begins with what the step holds throughout. So its peak is ``peak_total_bytes``, and that of the blocks whose
    category is one of :data:`bench.store.traced_step.Created` is ``peak_activation_bytes``.
    """
    if traced.device_snapshot is not None:
        return traced.device_snapshot
    recording = _Recording()
    held = traced.held
    for module, category, name, size in zip(held.module, held.category, held.name, held.bytes, strict=True):
        if size:
            frames = [_frame(name), _frame(shown(traced.modules[module]), "module")]
            recording.allocate(recording.new_block(), size, category, frames, 0.0)
    created, events = traced.created, traced.events
    frames_by_storage = [_frames_of(traced, storage) for storage in range(len(created.module))]
    blocks: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for storage, change, seconds in zip(events.storage, events.bytes, events.seconds, strict=True):
        frames = frames_by_storage[storage]
        if storage in blocks:  # freed, or resized, which is freed and allocated again
            recording.free(blocks.pop(storage), frames, seconds)
        sizes[storage] = sizes.get(storage, 0) + change
        if sizes[storage]:
            blocks[storage] = recording.new_block()
            recording.allocate(blocks[storage], sizes[storage], created.category[storage], frames, seconds)
    return recording.snapshot()


def dumped(snapshot: Mapping[str, Any]) -> bytes:
    """Return ``snapshot`` as the bytes of a file that the viewer opens."""
    return pickle.dumps(dict(snapshot), _PROTOCOL)


def _frames_of(traced: TracedStep, storage: int) -> Frames:
    """The operator, the module, and the Python code that have created a storage, innermost first."""
    created = traced.created
    return [
        _frame(traced.operators[created.operator[storage]]),
        _frame(shown(traced.modules[created.module[storage]]), "module"),
        *(
            _frame(name, file, line)
            for file, line, name in (traced.frames[n] for n in traced.stacks[created.stack[storage]])
        ),
    ]


def _frame(name: str, file: str = "operator", line: int = 0) -> dict[str, Any]:
    return {"filename": file, "line": line, "name": name}


class _Recording:
    """Blocks in one segment, each at the lowest address where it fits when it is allocated."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._places: list[tuple[int, int, int]] = []  # (address, end, block) of live blocks, sorted
        self._live: dict[int, tuple[int, int, Frames]] = {}  # address, size and frames by block
        self._end = _FIRST_ADDRESS
        self._blocks = 0
        self._microseconds = 0.0

    def new_block(self) -> int:
        """Return the number of a new block."""
        self._blocks += 1
        return self._blocks

    def allocate(self, block: int, size: int, category: str, frames: Frames, seconds: float) -> None:
        """Record that ``block`` is allocated."""
        address = self._lowest(size)
        insort(self._places, (address, address + size, block))
        self._live[block] = address, size, frames
        self._end = max(self._end, address + size)
        self._add("alloc", address, size, frames, seconds, category=category)

    def free(self, block: int, frames: Frames, seconds: float) -> None:
        """Record that ``block`` is freed."""
        address, size, _ = self._live.pop(block)
        del self._places[bisect(self._places, (address, address + size, block)) - 1]
        for action in ("free_requested", "free_completed"):
            self._add(action, address, size, frames, seconds)

    def snapshot(self) -> dict[str, Any]:
        """Return the snapshot at the end of the recording."""
        total = self._end - _FIRST_ADDRESS
        live = sum(size for _, size, _ in self._live.values())
        segment = {
            "device": 0,
            "address": _FIRST_ADDRESS,
            "total_size": total,
            "allocated_size": live,
            "active_size": live,
            "requested_size": live,
            "stream": 0,
            "segment_type": "large",
            "segment_pool_id": _POOL,
            "is_expandable": False,
            "frames": [],
            "blocks": self._final_blocks(),
        }
        begin = _entry("segment_alloc", _FIRST_ADDRESS, total, [], 0)
        last = _entry("snapshot", 0, 0, [], round(self._microseconds), category=_UNKNOWN)
        trace = [begin, *self._entries, last] if total else []
        return {"segments": [segment] if total else [], "device_traces": [trace]}

    def _add(self, action: str, address: int, size: int, frames: Frames, seconds: float, **more: Any) -> None:
        self._microseconds = seconds * 1e6
        self._entries.append(_entry(action, address, size, frames, round(self._microseconds), **more))

    def _lowest(self, size: int) -> int:
        """The lowest address with ``size`` free bytes behind it."""
        address = _FIRST_ADDRESS
        for begin, end, _ in self._places:
            if begin - address >= size:
                break
            address = end
        return address

    def _final_blocks(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        address = _FIRST_ADDRESS
        for begin, end, block in [*self._places, (self._end, self._end, None)]:
            if begin > address:
                blocks.append(_block(address, begin - address, 0, "inactive", []))
            if block is not None:
                blocks.append(_block(begin, end - begin, end - begin, "active_allocated", self._live[block][2]))
            address = end
        return blocks


def _entry(action: str, address: int, size: int, frames: Frames, microseconds: int, **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "addr": address,
        "size": size,
        "stream": 0,
        "frames": frames,
        "time_us": microseconds,
        "pool_id": _POOL,
        **more,
    }


def _block(address: int, size: int, requested: int, state: str, frames: Frames) -> dict[str, Any]:
    return {"address": address, "size": size, "requested_size": requested, "state": state, "frames": frames}
