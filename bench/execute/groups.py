"""Which cells are timed in one process: those that differ only in what belongs to their methods."""

from collections.abc import Hashable, Iterable

from bench.config.cell import TIMED_PASSES, Cell, Pass
from bench.config.check import baseline_of


def is_timed(cell: Cell) -> bool:
    """Whether ``cell`` has a step or a prediction to time."""
    return bool(TIMED_PASSES & set(cell.passes))


def untimed_passes(cell: Cell) -> tuple[Pass, ...]:
    """The passes of ``cell`` that have something to measure beside times, in order.

    They run in a process of their own: the memory pass leaves behind threads whose operators pass through Python, and
    an allocator that holds memory.
    """
    return tuple(name for name in cell.passes if name != "latency")


def group_of(cell: Cell) -> Hashable:
    """What two timed cells have in common if one process may time both.

    That is the cell of BP that they are compared with, how long each is timed, and in how many processes. A cell on
    several ranks has a group of its own.
    """
    if cell.ranks > 1:
        return cell.id
    return baseline_of(cell).model_copy(update={"passes": ("latency",)}).id, cell.latency_seconds, cell.processes


def in_groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The timed ones of ``cells`` by group, in the order in which the groups first appear."""
    groups: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        if is_timed(cell):
            groups.setdefault(group_of(cell), []).append(cell)
    return list(groups.values())
