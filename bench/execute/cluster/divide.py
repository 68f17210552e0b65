"""Which cells are one task: they ask for the same of a node, and cells that are timed together stay together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.config.cell import Cell
from bench.execute.groups import in_groups, is_timed


@dataclass(frozen=True)
class Needs:
    """What a task needs of its node, besides what the user's settings say.

    Attributes:
        alone: nothing else may run on the node, because cells are timed.
        gpus: the number of GPUs.
        cpus: the number of threads that compute at the same time; None where the cells do not say.
    """

    alone: bool
    gpus: int
    cpus: int | None


def needs_of(cell: Cell) -> Needs:
    """What ``cell`` needs of a node."""
    return Needs(
        alone=is_timed(cell),
        gpus=0 if cell.device == "cpu" else max(cell.ranks, 1 + int(cell.device.partition(":")[2] or 0)),
        cpus=None if cell.threads is None else cell.threads * cell.ranks,
    )


def divide_into_tasks(cells: Sequence[Cell], most: int, apart: Collection[str] = ()) -> dict[Needs, list[list[Cell]]]:
    """Divides ``cells`` into tasks.

    All processes of a group (:mod:`bench.execute.groups`) run in one task, because they are parts of one measurement,
    which is of one machine. A task with several groups runs the first process of each, then the second, as any sweep.

    Args:
        cells: in the order in which they are to run.
        most: cells of a task. A group with more of them is a task of its own.
        apart: the ids of cells that have a task of their own.

    Returns:
        The cells of each task, by what it needs.
    """
    units: dict[Needs, list[list[Cell]]] = {}
    for cell in cells:
        if not is_timed(cell) or cell.id in apart:
            units.setdefault(needs_of(cell), []).append([cell])
    for group in in_groups(cell for cell in cells if cell.id not in apart):
        units.setdefault(needs_of(group[0]), []).append(group)
    return {needs: _packed(parts, most, apart) for needs, parts in units.items()}


def _packed(units: Sequence[list[Cell]], most: int, apart: Collection[str]) -> list[list[Cell]]:
    """Puts units together in order, in as few tasks as this takes, of which none is much smaller than the others."""
    own = [unit for unit in units if unit[0].id in apart]
    shared = [unit for unit in units if unit[0].id not in apart]
    count = sum(map(len, shared))
    tasks = -(-count // most)
    goal = -(-count // tasks) if tasks else 0
    packed: list[list[Cell]] = []
    for unit in shared:
        if packed and len(packed[-1]) + len(unit) <= goal:
            packed[-1] += unit
        else:
            packed.append(list(unit))
    return packed + own
