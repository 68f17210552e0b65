"""SID, on one rank and on several: rows."""

from functools import partial
from typing import Any

from bench.config.cell import Cell
from bench.config.methods.method import Method
from bench.config.methods.refusals import COMPILED, no_compile


def sid_row(name: str, summary: str, **fields: Any) -> Method:
    """The row of a method that has SID's local objective."""
    return Method(name=name, summary=summary, uses_alpha=True, objective=True, **fields)


def _all_or_chunk(chunk: int | None, cell: Cell) -> int:
    return min(chunk or cell.modules, cell.modules)


ROWS = (
    sid_row(
        "sid-published",
        "SID as published: a teacher pass, then all local losses in one graph (arXiv 2510.03273)",
        rule="sid_core:published_step",
        colour="#d55e00",
        order=13,
    ),
    sid_row(
        "sid-streamed-autograd",
        "SID streamed through autograd: a control that shows what the closed-form backward pass is worth",
        rule="sid_core:streamed_step",
        keywords={"closed_form": False},
        colour="#2b99da",
        order=14,
    ),
    sid_row(
        "sid-streamed",
        "SID streamed: the same gradients, one module's activations at a time, no teacher pass",
        rule="sid_core:streamed_step",
        colour="#0072b2",
        order=15,
    ),
    sid_row(
        "sid-streamed-in-turn",
        "SID streamed with an optimizer per module: one module's gradients at a time, the same weights",
        rule="sid_core:streamed_step",
        per_module_optimizers=True,
        colour="#003f87",
        order=16,
    ),
    sid_row(
        "sid-streamed-compiled",
        "SID streamed with compiled modules: one graph for all modules of one shape, forward and backward",
        rule="sid_core:streamed_step",
        keywords={"compiled": True},
        recomputes=(),
        refusal=partial(no_compile, "which compiles its step itself"),
        compiles=True,
        not_planned=COMPILED,
        colour="#3a9cbd",
        order=17,
    ),
    Method(
        name="sid-streamed-recompute",
        summary="sid-streamed with recompute = trunk: the trunk is run again, in checkpointed segments",
        alias_of="sid-streamed",
        presets={"recompute": "trunk"},
        colour="#00a3a3",
        order=18,
    ),
    sid_row(
        "sid-vectorised",
        "SID vectorised: the same gradients, same-shaped modules in a few large products",
        rule="sid_core:vectorised_step",
        settings={"chunk": _all_or_chunk},
        networks=("cascade",),  # a pipeline's stages differ, and each needs the features of the one before
        recomputes=("trunk",),
        refusal=partial(no_compile, "which calls no module"),
        colour="#cc79a7",
        order=19,
    ),
    sid_row(
        "sid-parallel",
        "SID on several ranks: beliefs are passed along, modules run backward at the same time; on one rank, streamed",
        rule="sid_core:streamed_step",
        on_ranks="bench.train.rules.sid_on_ranks:parallel_share",
        on_one_rank="sid-streamed",
        not_trained_on_ranks=None,
        networks=("cascade",),  # a pipeline's stages have sid-pipelined
        colour="#2e8b8b",
        order=24,
    ),
    sid_row(
        "sid-pipelined",
        "SID on several ranks, pipelined: features are passed on, then the stage updates and takes the next batch",
        on_ranks="bench.train.rules.sid_on_ranks:pipelined_share",
        on_one_rank="sid-streamed",
        not_trained_on_ranks=None,
        networks=("pipeline",),  # a cascade's trunk waits for all modules
        colour="#6a51a3",
        order=25,
    ),
)
