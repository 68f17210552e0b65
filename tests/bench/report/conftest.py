"""A results file that has data for every figure."""

from pathlib import Path

import numpy as np
import pytest
from record_builder import make_record

from bench.store.record import Record

_IMAGES = 100


@pytest.fixture(scope="session")
def made_records() -> list[Record]:
    """Costs at several depths, batch sizes and numbers of modules, and accuracies at two noise rates, three seeds."""
    records = []
    costs = {"bp": (1000, 1.0), "sid-published": (1103, 1.5), "sid-streamed": (100, 0.9)}
    for method, (size, ratio) in costs.items():
        for depth, modules, batch in [
            (4, 4, 32),
            (16, 16, 32),
            (64, 64, 32),
            (64, 64, 512),
            (64, 16, 512),
            (64, 1, 512),
        ]:
            growth = 1 if method == "sid-streamed" else depth
            cell = {
                "method": method,
                "depth": depth,
                "modules": modules,
                "batch_size": batch,
                "passes": ["memory", "latency"],
            }
            records.append(make_record(cell, size * growth * batch, (ratio, ratio - 0.05, ratio + 0.05)))
        for rate in (0.0, 0.4):
            for seed in (0, 1, 2):
                cell = {"method": method, "depth": 4, "noise_rate": rate, "seed": seed, "passes": ["accuracy"]}
                accuracy = 0.9 - rate / 2 + seed / 100 + (method != "bp") * 0.02
                records.append(make_record(cell, correct=np.arange(_IMAGES) < round(_IMAGES * accuracy)))
    return records


@pytest.fixture(scope="session")
def made_file(made_records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results file with :func:`made_records`."""
    path = tmp_path_factory.mktemp("made") / "made.jsonl"
    path.write_text("".join(f"{record.line()}\n" for record in made_records))
    return path
