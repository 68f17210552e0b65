"""Many records made of a few measured ones: other sizes of networks and batches, other seeds."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from bench.store.file import read_records
from bench.store.record import Record

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
SUITES = ("default", "modes", "backbones", "noise", "noise-pipeline", "parallel")


def write_many(path: Path, number: int, suites: Sequence[str] = SUITES) -> None:
    """Writes ``number`` records of distinct cells to ``path``."""
    measured = [record for name in suites for record in read_records(REFERENCE / f"{name}.jsonl").records]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{record.line()}\n" for record in islice(_varied(measured), number))


def _varied(measured: Sequence[Record]) -> Iterator[Record]:
    """Yields ``measured``, then copies of it without end: accuracies with other seeds, costs of other sizes."""
    seen: set[str] = set()
    for copy in count():
        for record in measured:
            cell = record.cell
            if record.accuracy is not None:
                changes = {"seed": cell.seed + 100 * copy}
            else:
                axis = ("batch_size", "depth", "hidden")[copy % 3]
                changes = {axis: getattr(cell, axis) * (1 + (copy + 2) // 3)}
            cell = cell.model_copy(update=changes)
            if cell.id not in seen:
                seen.add(cell.id)
                yield record.model_copy(update={"cell": cell, "id": cell.id} | _samples(record, 1 + copy / 1000))


def _samples(record: Record, factor: float) -> dict[str, Any]:
    """The raw samples of ``record`` times ``factor``, because those of two measurements are never equal."""
    changes: dict[str, Any] = {}
    if record.latency is not None:
        blocks = [tuple(factor * seconds for seconds in block) for block in record.latency.blocks_seconds]
        changes["latency"] = record.latency.model_copy(update={"blocks_seconds": blocks})
    if record.trace is not None:
        ends = [factor * seconds for seconds in record.trace.end_seconds]
        changes["trace"] = record.trace.model_copy(update={"end_seconds": ends})
    if record.accuracy is not None:
        epochs = [
            epoch.model_copy(
                update={
                    "train_loss": epoch.train_loss and factor * epoch.train_loss,
                    "kl_by_module": [kl and factor * kl for kl in epoch.kl_by_module],
                }
            )
            for epoch in record.accuracy.epochs
        ]
        changes["accuracy"] = record.accuracy.model_copy(update={"epochs": epochs})
    return changes
