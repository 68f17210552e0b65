"""Forward-Forward: its row."""

from bench.config.cell import Cell
from bench.config.methods.method import Method


def _refusal(cell: Cell) -> str | None:
    if cell.depth != cell.modules:
        return (
            f"modules = {cell.modules} with depth = {cell.depth} for method {cell.method!r}, which trains each layer; "
            f"legal: {cell.depth}"
        )
    if cell.modules == 1:
        return f"modules = 1 for method {cell.method!r}, which predicts from all layers but the first; legal: 2 or more"
    if cell.head != "linear":
        return f"head = {cell.head!r} for method {cell.method!r}, which has no use for heads; legal: linear"
    return None


ROWS = (
    Method(
        name="forward-forward",
        summary="Forward-Forward: each layer tells images with their label from images with another (arXiv 2212.13345)",
        rule="bench.train.rules.peers.forward_forward:train_each_layer",
        networks=("pipeline-linear",),  # its layers are linear with a ReLU; others would need another goodness
        refusal=_refusal,
        recomputes=(),  # it holds one layer at a time already
        auxiliary="bench.train.rules.peers.forward_forward:BesideLayers",
        predicts_with_auxiliary=True,
        logits_by_module="bench.train.rules.peers.forward_forward:logits_by_module",
        not_in_parts="whose peer loss reads the mean activity over the batch",
        colour="#c0621a",
        order=32,
    ),
    Method(
        name="forward-forward-authors",
        summary="forward-forward with the optimizer that public code trains the layers with",
        alias_of="forward-forward",
        presets={"optimizer": "sgd", "learning_rate": 1e-3, "weight_decay": 3e-4, "schedule": "constant"},
        colour="#8c510a",
        order=68,
    ),
)
