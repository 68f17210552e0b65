"""The parts of a network that a breakdown names: trunk, local modules, and of a pipeline stages and heads."""

from bench.store.traced_step import OUTSIDE

_SIDES = ("stage", "head")
_NOTHING = "outside of modules"


def part_of(module: str) -> str:
    """Return the name of the part that the module called ``module`` belongs to.

    ``local_modules.3.stage.1.conv1`` belongs to ``local_modules.3.stage``, ``local_modules.3.mlp.0`` to
    ``local_modules.3``, and ``trunk.4`` to ``trunk``.
    """
    names = module.split(".")
    if names[0] != "local_modules":
        return names[0]
    return ".".join(names[: 3 if len(names) > 2 and names[2] in _SIDES else 2])


def shown(module: str) -> str:
    """Return ``module``, or words for what belongs to none."""
    return _NOTHING if module == OUTSIDE else module
