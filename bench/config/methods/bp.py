"""Backpropagation and its variants: rows on one rank.

Colours of all methods are Okabe and Ito's, which the colour-blind can tell apart, as far as these go: greys for BP's
kin, blues for streamed SID. Those with a contrast below 3:1 on white are darkened to it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.config.cell import Cell
from bench.config.methods.method import Method
from bench.config.methods.refusals import COMPILED, no_compile

BASELINE = "bp"
# Work that BP's own step is compared with, where a suite has it beside the methods. No row: it is no training rule.
FIXED_WORK = "bench.train.rules.fixed_work:fixed_work"
PLAIN = "bp-plain"  # the one of its ways that leaves heads out, and so has other gradients
# The rules that train as BP does and differ in what they hold, or in what they run of a pipeline.
WAYS = (BASELINE, "bp-step-in-backward", "bp-budget", "bp-offload", PLAIN)


def _offload(cell: Cell) -> str | None:
    if cell.device == "cpu":
        return f"device = 'cpu' for method {cell.method!r}; legal: cuda or cuda:N"
    return no_compile("whose compiled code keeps its own activations", cell)


def _four_parts(values: Mapping[str, Any]) -> int:
    """Four, or as many as a smaller batch has samples."""
    batch_size = values.get("batch_size")
    return min(4, batch_size) if isinstance(batch_size, int) and batch_size >= 1 else 4


def _full_budget(budget: float | None, _cell: Cell) -> float:
    return 1.0 if budget is None else budget


ROWS = (
    Method(
        name=BASELINE,
        summary="backpropagation, end to end: the baseline",
        rule="bench.train.rules.bp:train_end_to_end",
        colour="#1c1c1c",
        order=0,
    ),
    Method(
        name="bp-checkpoint",
        summary="bp with recompute = modules: a checkpoint around each module, in a pipeline around each block",
        alias_of=BASELINE,
        presets={"recompute": "modules"},
        colour="#8a8a8a",
        order=1,
    ),
    Method(
        name="bp-checkpoint-trunk",
        summary="bp with recompute = all: the trunk in checkpointed segments, too",
        alias_of=BASELINE,
        presets={"recompute": "all"},
        colour="#57606a",
        order=2,
    ),
    Method(
        name="bp-microbatch",
        summary="bp in micro_batches = 4, unless another number is given",
        alias_of=BASELINE,
        presets={"micro_batches": _four_parts},
        colour="#a39077",
        order=3,
    ),
    Method(
        name="bp-selective",
        summary="bp with recompute = selective: as bp-checkpoint, but products and convolutions are held",
        alias_of=BASELINE,
        presets={"recompute": "selective"},
        colour="#a58f2e",
        order=4,
    ),
    Method(
        name="bp-step-in-backward",
        summary="backpropagation that updates each parameter in the backward pass: one gradient at a time",
        rule="bench.train.rules.bp_step_in_backward:train_with_step_in_backward",
        per_parameter_optimizers=True,
        colour="#4b6b57",
        order=5,
    ),
    Method(
        name="bp-budget",
        summary="backpropagation compiled as one graph, which holds at most a share of its activations",
        rule="bench.train.rules.bp_compiled:train_within_budget",
        settings={"activation_memory_budget": _full_budget},
        recomputes=(),
        refusal=partial(no_compile, "which compiles its step itself"),
        compiles=True,
        not_planned=COMPILED,
        colour="#7a4a8c",
        order=6,
    ),
    Method(
        name="bp-offload",
        summary="backpropagation with activations moved to pinned host memory (torch.autograd.graph.save_on_cpu)",
        rule="bench.train.rules.bp_offload:train_with_activations_on_host",
        refusal=_offload,
        not_planned="it moves bytes from the device to the host, and a plan counts those of one device",
        colour="#6e5f4b",
        order=7,
    ),
    Method(
        name=PLAIN,
        summary="backpropagation through the backbone and its last head alone, as it is usually trained",
        rule="bench.train.rules.bp_plain:train_last_head",
        logits_by_module="bench.train.rules.bp_plain:logits_by_module",
        networks=("pipeline",),
        refusal=partial(no_compile, "which runs stages without their heads"),
        colour="#7d8fa3",
        order=8,
    ),
)
