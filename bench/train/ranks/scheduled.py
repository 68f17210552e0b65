"""What BP's pipeline schedules need of a cell, for the process that plans a sweep and must not load torch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.config.cell import Cell
    from bench.config.methods import Setting
    from bench.train.ranks.share import RankShare
    from sid_core import BeliefNetwork

ScheduleName = Literal["GPipe", "1F1B", "InterleavedZeroBubble", "ZBVZeroBubble"]
STAGES_A_RANK: dict[ScheduleName, int] = {"GPipe": 1, "1F1B": 1, "InterleavedZeroBubble": 2, "ZBVZeroBubble": 2}

# GPipe and 1F1B idle for (S - 1) / (M + S - 1) of the time, a third with 2 ranks and 2 micro-batches. More of them idle
# less, and yet took longer on two cores: each reads all weights and adds a gradient as large as they are.
MICRO_BATCHES: "dict[str, Setting]" = {"micro_batches": lambda parts, cell: parts or cell.ranks}


def rule_by(
    schedule: ScheduleName,
) -> tuple[Callable[["Cell"], str | None], Callable[..., "RankShare"]]:
    """``refusal`` and ``on_ranks`` of the method that runs by ``schedule`` (see :mod:`bench.config.methods`)."""

    def refusal(cell: "Cell") -> str | None:
        return _refuse(cell, schedule)

    def on_ranks(network: "BeliefNetwork", *, micro_batches: int) -> "RankShare":
        from bench.train.ranks.schedules import scheduled_share

        return scheduled_share(network, schedule, micro_batches)

    return refusal, on_ranks


def _refuse(cell: "Cell", schedule: ScheduleName) -> str | None:
    """Why a cell cannot be run by ``schedule``: it takes equal micro-batches, and a module a stage or more."""
    stages = STAGES_A_RANK[schedule] * cell.ranks
    if cell.modules < stages:
        return (
            f"modules = {cell.modules} for method {cell.method!r} on {cell.ranks} ranks; legal: {stages} or more, "
            f"{STAGES_A_RANK[schedule]} a rank"
        )
    parts = MICRO_BATCHES["micro_batches"](cell.micro_batches, cell)
    if parts % cell.ranks:
        return (
            f"micro_batches = {parts} for method {cell.method!r} on {cell.ranks} ranks; legal: multiples of "
            f"{cell.ranks}, as many for each rank"
        )
    if cell.batch_size % parts:
        return (
            f"batch_size = {cell.batch_size} for method {cell.method!r} on {cell.ranks} ranks; legal: multiples of "
            f"{parts}, for micro-batches of equal size"
        )
    return None
