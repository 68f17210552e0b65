"""Many records made of a few measured ones: other sizes of networks and batches, other seeds."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

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
                yield record.model_copy(update={"cell": cell, "id": cell.id})
