"""Machines that records come from, as far as step times depend on them."""

import json

from bench.store.findings import OWN_FILES
from bench.store.record import Record

# Fields of the environment that may differ between records of one machine.
_NOT_THE_MACHINE = ("commit", "sid_bench", "command", "doctor", "ranks", "renewed_because", "slurm", OWN_FILES)


def machine_of(record: Record) -> str:
    """Return a text that is equal for records of one machine in one configuration.

    Where the cell sets the number of threads, that number and the CPUs that they are pinned to are the cell's.
    """
    machine = {name: value for name, value in record.environment.items() if name not in _NOT_THE_MACHINE}
    if record.cell.threads is not None:
        machine.pop("threads", None)
    return json.dumps(machine | {"pinned_cpus": bool(record.environment.get("pinned_cpus"))}, sort_keys=True)
