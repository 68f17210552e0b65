"""BP's pipeline schedules on several ranks: what each needs of a cell."""

from collections.abc import Mapping
from types import MappingProxyType

from bench.config.cell import Cell

# The schedules of torch.distributed.pipelining, with the number of stages that each puts on a rank.
SCHEDULES: Mapping[str, int] = MappingProxyType({"GPipe": 1, "1F1B": 1, "InterleavedZeroBubble": 2, "ZBVZeroBubble": 2})


def micro_batches_of_schedule(parts: int | None, cell: Cell) -> int:
    """The micro-batches of a step: as many as there are ranks, unless the cell says.

    GPipe and 1F1B idle for (S - 1) / (M + S - 1) of the time, a third with 2 ranks and 2 micro-batches. More of them
    idle less, and yet took longer on two cores: each reads all weights and adds a gradient as large as they are.
    """
    return parts or cell.ranks


def refuse_schedule(stages_per_rank: int, cell: Cell) -> str | None:
    """Why a cell cannot be run by a schedule: it needs equal micro-batches, and at least one module per stage."""
    stages = stages_per_rank * cell.ranks
    if cell.modules < stages:
        return (
            f"modules = {cell.modules} for method {cell.method!r} on {cell.ranks} ranks; legal: {stages} or more, "
            f"{stages_per_rank} per rank"
        )
    parts = micro_batches_of_schedule(cell.micro_batches, cell)
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
