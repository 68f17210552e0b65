"""Which cells are one task."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scripted_tasks import tiny_cells

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.execute.cluster.divide import Needs, divide_into_tasks, needs_of
from bench.execute.groups import group_of, is_timed

KINDS = [
    {"passes": ["memory"]},
    {"passes": ["memory"], "threads": 1},
    {"passes": ["memory"], "device": "cuda"},
    {"passes": ["latency"], "threads": 1},
    {"passes": ["memory", "latency"], "threads": 1},
]


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    axes = st.builds(
        lambda kind, method, seed: {"dataset": "random", **kind, "method": method, "seed": seed},
        st.sampled_from(KINDS),
        st.sampled_from(["bp", "sid-streamed", "sid-published"]),
        st.integers(0, 3),
    )
    return list(dict.fromkeys(map(make_cell, draw(st.lists(axes, max_size=30)))))


@given(cells(), st.integers(1, 8), st.data())
def test_each_cell_is_in_one_task_and_what_is_timed_together_stays_together(
    given_cells: list[Cell], most: int, data: st.DataObject
) -> None:
    ids = [cell.id for cell in given_cells]
    apart = set(data.draw(st.lists(st.sampled_from(ids), max_size=3))) if ids else set()
    divided = divide_into_tasks(given_cells, most, apart)
    tasks = [task for tasks in divided.values() for task in tasks]
    assert Counter(cell.id for task in tasks for cell in task) == Counter(ids)
    task_of = {cell.id: number for number, task in enumerate(tasks) for cell in task}
    for needs, same in divided.items():
        assert {needs_of(cell) for task in same for cell in task} == {needs}
        for task in same:
            groups = {group_of(cell) if is_timed(cell) and cell.id not in apart else cell.id for cell in task}
            assert task
            assert len(task) <= most or len(groups) == 1
            if not needs.alone:
                assert [ids.index(cell.id) for cell in task] == sorted(ids.index(cell.id) for cell in task)
    places: dict[object, set[int]] = {}
    for cell in given_cells:
        if cell.id in apart:
            assert len(tasks[task_of[cell.id]]) == 1
        elif is_timed(cell):
            places.setdefault(group_of(cell), set()).add(task_of[cell.id])
    assert all(len(numbers) == 1 for numbers in places.values())


def test_tasks_are_of_like_size() -> None:
    (tasks,) = divide_into_tasks(tiny_cells(21), 20).values()
    assert [len(task) for task in tasks] == [11, 10]


def test_timed_cells_are_alone_and_gpus_are_those_of_the_ranks() -> None:
    (cell,) = tiny_cells(1, threads=2)
    assert needs_of(cell) == Needs(alone=False, gpus=0, cpus=2)
    (cell,) = tiny_cells(1, passes=["latency"])
    assert needs_of(cell) == Needs(alone=True, gpus=0, cpus=None)
    (cell,) = tiny_cells(1, device="cuda:1")
    assert needs_of(cell).gpus == 2, "CUDA numbers the GPUs of a job from 0"
    cell = make_cell(
        {"method": "sid-parallel", "device": "cuda", "ranks": 4, "depth": 4, "passes": ["memory"], "threads": 2}
    )
    assert needs_of(cell) == Needs(alone=False, gpus=4, cpus=8)
