"""The measurements that come with the package: what ``sid-bench fit`` compares its predictions with by itself.

``python -m bench.plan.fit.shipped FILE...`` makes the table anew from results files.
"""

import sys
from importlib import resources
from pathlib import Path

from bench.analysis.measured import Measured, measured_of
from bench.store.file import read_records
from bench.store.text_file import write_text

_TABLE = "measured.jsonl"


def shipped() -> list[Measured]:
    """Return the measurements of the table."""
    lines = (resources.files(__package__) / _TABLE).read_text(encoding="utf-8").splitlines()
    return [Measured.model_validate_json(line) for line in lines]


def to_table(files: list[Path]) -> str:
    """Return the text of the table for the records of ``files``: each measurement once, a line each.

    Raises:
        StoreError: a file is not a results file.
    """
    measured = [one for file in files for one in measured_of(read_records(file).latest.values())]
    return "".join(
        f"{line}\n" for line in dict.fromkeys(one.model_dump_json(exclude_defaults=True) for one in measured)
    )


if __name__ == "__main__":
    write_text(Path(__file__).with_name(_TABLE), to_table([Path(name) for name in sys.argv[1:]]))
