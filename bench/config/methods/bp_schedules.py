"""BP's pipeline schedules over several ranks: rows."""

from functools import partial

from bench.config.methods.bp import BASELINE
from bench.config.methods.method import Method
from bench.config.schedules import SCHEDULES, micro_batches_of_schedule, refuse_schedule


def _bp_schedule(name: str, summary: str, schedule: str, colour: str, order: int) -> Method:
    return Method(
        name=name,
        summary=summary,
        on_ranks="bench.train.ranks.schedules:scheduled_share",
        keywords={"schedule": schedule},
        on_one_rank=BASELINE,
        not_trained_on_ranks="whose schedule takes batches of one size only",
        networks=("pipeline",),
        settings={"micro_batches": micro_batches_of_schedule},
        refusal=partial(refuse_schedule, SCHEDULES[schedule]),
        colour=colour,
        order=order,
    )


ROWS = (
    _bp_schedule(
        "bp-gpipe",
        "backpropagation on several ranks, GPipe (arXiv 1811.06965): all micro-batches forward, then all backward",
        "GPipe",
        "#a6761d",
        20,
    ),
    _bp_schedule(
        "bp-1f1b",
        "backpropagation on several ranks, 1F1B (arXiv 1806.03377): micro-batches forward and backward in turns",
        "1F1B",
        "#5c4033",
        21,
    ),
    _bp_schedule(
        "bp-zb1p",
        "backpropagation on several ranks, zero bubble 1P (arXiv 2401.10241): weight gradients fill the gaps",
        "InterleavedZeroBubble",
        "#b5838d",
        22,
    ),
    _bp_schedule(
        "bp-zbv",
        "backpropagation on several ranks, zero bubble V (arXiv 2401.10241): first and last stage on one rank",
        "ZBVZeroBubble",
        "#7f7f2a",
        23,
    ),
)
