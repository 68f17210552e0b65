"""Made traced steps, of any events that storages can have."""

from typing import Any

from hypothesis import strategies as st
from record_builder import make_record

from bench.analysis.step_trace.breakdown import CREATED
from bench.store.traced_step import ClockMark, CreatedStorages, HeldStorages, OperatorRuns, StorageEvents, TracedStep


def step_of(changes: list[tuple[int, int, str, str]]) -> TracedStep:
    """A made step: for each event a storage, a change in bytes, a module and a category of the storage."""
    storages = sorted({storage for storage, *_ in changes})
    about = {storage: (module, category) for storage, _, module, category in changes}
    modules = ["", *sorted({module for _, _, module, _ in changes} - {""})]
    count = len(changes)
    record = make_record({"method": "bp", "passes": ["memory"]}, 1)
    assert record.memory is not None
    columns: dict[str, Any] = {
        "module": [modules.index(about[storage][0]) for storage in storages],
        "category": [about[storage][1] for storage in storages],
    }
    zeros = [0] * len(storages)
    return TracedStep(
        memory=record.memory,
        modules=modules,
        operators=["aten::mm"],
        frames=[],
        stacks=[[]],
        created=CreatedStorages(**columns, operator=zeros, stack=zeros),
        events=StorageEvents(
            seconds=[float(number) for number in range(count)],
            operators=list(range(count)),
            phase="f" * count,
            storage=[storages.index(storage) for storage, *_ in changes],
            bytes=[size for _, size, *_ in changes],
        ),
        held=HeldStorages(module=[], category=[], name=[], bytes=[]),
        runs=OperatorRuns(
            name=[0] * count, module=[0] * count, phase="f" * count, start_seconds=[0] * count, end_seconds=[0] * count
        ),
        profile="",
        clock=ClockMark(mark=0, seconds=0),
    )


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[int, int, str, str]]:
    """Events of storages that are created, may be resized, and may be freed."""
    events: list[tuple[int, int, str, str]] = []
    sizes: dict[int, int] = {}
    about: dict[int, tuple[str, str]] = {}
    names = st.sampled_from(["", "trunk.1", "local_modules.0.head", "local_modules.10.stage.2"])
    for number in range(draw(st.integers(0, 30))):
        live = [storage for storage, size in sizes.items() if size]
        storage = draw(st.sampled_from([number, *live]))
        about.setdefault(storage, (draw(names), draw(st.sampled_from(CREATED))))
        size = draw(st.integers(0 if storage in live else 1, 99))
        change = size - sizes.get(storage, 0)
        sizes[storage] = size
        if change:
            events.append((storage, change, *about[storage]))
    return events
