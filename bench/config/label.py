"""A cell on one line, for a person: two cells of one sweep that differ read differently."""

from typing import TYPE_CHECKING, Any

from bench.config.alpha import alpha_text
from bench.config.catalog import BACKBONE_UNITS

if TYPE_CHECKING:
    from bench.config.cell import Cell


def label(cell: "Cell", usual: dict[str, Any]) -> str:
    """What ``cell`` is: always its method, sizes and seed, of all else what is not as in ``usual``."""
    is_told = {name: value != usual[name] for name, value in cell if name in usual}
    words = [cell.method, cell.network, cell.dataset]
    if cell.image_size is not None:
        words.append(f"{cell.image_size}x{cell.image_size}")
    words += [f"{name} {getattr(cell, name)}" for name in ("channels", "classes") if is_told[name]]
    words.append(f"depth {cell.depth} modules {cell.modules}")
    if is_told["cut"]:
        words.append(cell.cut)
    if is_told["width"] and cell.network not in BACKBONE_UNITS:
        words.append(f"width {cell.width}")
    words.append(f"hidden {cell.hidden} batch {cell.batch_size}")
    if cell.micro_batches is not None:
        words.append(f"in {cell.micro_batches} micro-batches")
    if cell.chunk is not None:
        words.append(f"chunk {cell.chunk}")
    if cell.alpha is not None:
        words.append(f"alpha {alpha_text(cell.alpha)}")
    if is_told["direction"]:
        words.append(f"{cell.direction} {cell.smoothing:g}")
    if is_told["loss_reduction"]:
        words.append(cell.loss_reduction)
    if cell.noise_rate:
        words.append(f"{cell.noise_kind} {cell.noise_rate:g}")
    words.append(cell.optimizer)
    tuned = [name for name in ("learning_rate", "weight_decay", "schedule") if is_told[name]]
    words += [f"{name.replace('_', ' ')} {getattr(cell, name)}" for name in tuned]
    if "accuracy" in cell.passes:
        words.append(f"{cell.epochs} epochs")
    if cell.train_samples is not None:
        words.append(f"{cell.train_samples} samples")
    if is_told["latency_seconds"]:
        words.append(f"{cell.latency_seconds:g} s")
    words.append(f"seed {cell.seed}")
    words += [str(getattr(cell, name)) for name in ("precision", "device") if is_told[name]]
    if cell.compile:
        words.append("compiled")
    counts = [name for name in ("threads", "ranks", "processes") if is_told[name]]
    return " ".join(words + [f"{name} {getattr(cell, name)}" for name in counts])
