"""The file in which asv keeps what it knows about machines."""

import json
from pathlib import Path

from asv.machine import Machine, MachineCollection


def make_known(name: str, results: Path) -> None:
    """Tell asv about the machine ``name``, unless it knows it; asv would ask questions otherwise.

    Args:
        name: of this machine in results.
        results: asv's folder of results. If there are some of the machine, it is described as in them.
    """
    known = Path(MachineCollection.get_machine_file_path())
    if known.exists() and name in json.loads(known.read_text(encoding="utf-8")):
        return
    stored = results / name / "machine.json"
    described = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else Machine.get_defaults()
    MachineCollection.save(name, {**{field: described[field] for field, _ in Machine.fields}, "machine": name})
