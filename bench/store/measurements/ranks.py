"""Results of several ranks."""

from typing import Self

from pydantic import model_validator

from bench.store.measurements.base import Amount, Frozen, Share, Size, require_one_length


class Ranks(Frozen):
    """Results of several ranks; lists have one value per rank, in order of the ranks.

    Attributes:
        modules: number of modules of each rank.
        ratio_to_one_rank: step time divided by that of the same rule on one rank with the same number of threads per
            rank, from interleaved blocks of one run.
        ratio_to_one_rank_ci95: 95 % interval of the ratio.
        one_rank_blocks_by_process: the number of blocks of each run of the ranks, in order; None in records that lack
            them, as the next one.
        one_rank_blocks_seconds: for each block the seconds per step of (all ranks, one rank, one rank, all ranks).
        bound: the smallest ratio that the schedule allows, from phases timed on one rank; None if unknown.
        busy_share: fraction of the step time in which a rank does not wait.
        peak_activation_bytes: None without the memory pass.
        peak_total_bytes: None without the memory pass.
    """

    modules: list[Size]
    ratio_to_one_rank: Amount | None
    ratio_to_one_rank_ci95: tuple[Amount, Amount] | None
    bound: Amount | None
    busy_share: list[Share] | None
    peak_activation_bytes: list[Size] | None
    peak_total_bytes: list[Size] | None
    one_rank_blocks_by_process: list[Size] | None = None
    one_rank_blocks_seconds: list[tuple[Amount, Amount, Amount, Amount]] | None = None

    @model_validator(mode="after")
    def _has_a_value_per_rank(self) -> Self:
        names = ("modules", "busy_share", "peak_activation_bytes", "peak_total_bytes")
        require_one_length({name: getattr(self, name) for name in names})
        return self
