"""The file in which asv keeps what it knows about machines."""

from pathlib import Path

from asv.machine import Machine, MachineCollection
from asv.util import load_json


def make_known(name: str, results: Path) -> None:
    """Tell asv about the machine ``name``, unless it knows it; asv would ask questions otherwise.

    Args:
        name: of this machine in results.
        results: asv's folder of results. If there are some of the machine, it is described as in them.

    Raises:
        asv.util.UserError: a file that describes machines is damaged.
    """
    known = MachineCollection.get_machine_file_path()
    # Not MachineCollection.load: it takes the only machine that asv knows for the host, whatever its name.
    if Path(known).exists() and name in load_json(known):
        return
    stored = results / name / "machine.json"
    described = load_json(str(stored)) if stored.exists() else Machine.get_defaults()
    MachineCollection.save(name, {**{field: described[field] for field, _ in Machine.fields}, "machine": name})
