"""Training rules, by name.

A method is a module with three names:

- ``SUMMARY``: one line for ``sid-bench list``;
- ``USES_ALPHA``: whether the rule reads the cell's ``alpha`` (one that doesn't is not run once for each alpha);
- ``accumulate_gradients(network, images, labels, alpha)``: one step's gradients, added to ``.grad`` of the network's
  parameters; returns the loss, a tensor of shape ``[]``.

A rule with SID's local objective may say ``OBJECTIVE = True`` besides. Its ``accumulate_gradients`` then also gets the
keywords ``direction``, ``reduction`` and, in direction ``reverse``, ``smoothing``, as the steps of ``sid_core`` take
them; a cell of any other method has these at their defaults. A rule that does not fit every cell may have
``NETWORKS``, the names of those that it takes, and ``refusal(cell)``: why it does not take the cell for another reason,
as in ``batch_size = 3 for method 'y'; legal: ...``, or None. Such a cell is refused before anything runs.

A rule that lets a cell choose how it works has ``SETTINGS``: for each name of :data:`SETTING_NAMES` that it reads, a
function of the cell's value, which may be None, and the cell, that gives the integer the rule then gets as a keyword.
A cell of any other method has None there.

A rule that several ranks can share has two names more: ``on_ranks(network)``, which every rank calls, with the settings
as keywords, and which gives its :class:`bench.train.ranks.share.RankShare`, and ``ON_ONE_RANK``, the method that is the
same rule on one rank. Where it means nothing on one rank, it may lack ``accumulate_gradients``.

Three more names are for rules that need them. ``PER_MODULE_OPTIMIZERS = True``: the rule gets the keyword
``optimizers``, one a module, calls them itself and frees the gradients; the trunk's are left to the harness.
``logits_by_module(network, images)``: how a network is read that the rule has trained, by default
``network.logits_by_module``; it yields None for a module that the rule does not train. ``NOT_PLANNED``: why its bytes
cannot be planned.

A file in this folder is a method; its name is the file's, with dashes. Another package adds one with an entry point in
the group ``sid_bench.methods`` that names such a module. The files here import torch inside their functions, because
the process that plans a sweep reads ``USES_ALPHA`` and must not load torch.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from bench.errors import ConfigError, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from bench.train.ranks.share import RankShare
    from sid_core import BeliefNetwork

GROUP = "sid_bench.methods"
BASELINE = "bp"
SETTING_NAMES = ("chunk", "micro_batches")

# Keywords follow where OBJECTIVE is true, and for SETTINGS.
AccumulateGradients = Callable[["BeliefNetwork", "Tensor", "Tensor", Any], "Tensor"]
Setting = Callable[[int | None, "Cell"], int]


class Method(Protocol):
    """What a method's module offers."""

    SUMMARY: str
    USES_ALPHA: bool
    accumulate_gradients: AccumulateGradients


@cache
def _sources() -> dict[str, EntryPoint | str]:
    """Where each method comes from: an entry point of another package, or a module of this folder."""
    rules = Path(__file__).parents[1] / "train" / "rules"
    own = {
        module.name.replace("_", "-"): f"bench.train.rules.{module.name}"
        for module in pkgutil.iter_modules([str(rules)])
    }
    return {**{entry.name: entry for entry in entry_points(group=GROUP)}, **own}


def method_names() -> list[str]:
    """The names of all methods, those of other packages included."""
    return sorted(_sources())


def load_method(name: str) -> Method:
    """The method called ``name``.

    Raises:
        ConfigError: there is no such method, it cannot be imported, or it lacks one of its names.
    """
    source = _sources().get(name)
    if source is None:
        raise ConfigError(unknown("method", name, method_names()))
    try:
        method = importlib.import_module(source) if isinstance(source, str) else source.load()
    except Exception as error:
        raise ConfigError(f"method {name!r} ({source}) cannot be loaded: {type(error).__name__}: {error}") from error
    rule = ("on_ranks", "ON_ONE_RANK") if hasattr(method, "on_ranks") else ("accumulate_gradients",)
    missing = [part for part in ("SUMMARY", "USES_ALPHA", *rule) if not hasattr(method, part)]
    if missing:
        raise ConfigError(f"method {name!r} ({source}) lacks {', '.join(missing)}")
    for setting in getattr(method, "SETTINGS", {}):
        if setting not in SETTING_NAMES:
            raise ConfigError(f"method {name!r} ({source}): {unknown('setting', setting, SETTING_NAMES)}")
    return cast(Method, method)


def takes_objective(method: Method) -> bool:
    """Whether ``method`` has a local objective, whose direction, smoothing and reduction it lets a cell choose."""
    return bool(getattr(method, "OBJECTIVE", False))


def settings(method: Method, cell: "Cell") -> dict[str, int]:
    """What ``method`` gets of :data:`SETTING_NAMES` for ``cell``."""
    known: Mapping[str, Setting] = getattr(method, "SETTINGS", {})
    return {setting: settle(getattr(cell, setting), cell) for setting, settle in known.items()}


def rank_limits(name: str) -> tuple[int, int | None]:
    """The fewest and the most ranks that the method called ``name`` runs on, None where any number will do."""
    method = load_method(name)
    fewest = 1 if hasattr(method, "accumulate_gradients") else 2
    return fewest, None if hasattr(method, "on_ranks") else 1


def share_of(cell: "Cell", network: "BeliefNetwork") -> "RankShare":
    """What this rank does of the step of ``cell``'s method; all ranks call it, with equal networks."""
    method: Any = load_method(cell.method)
    return cast("RankShare", method.on_ranks(network, **settings(method, cell)))


def one_rank_method(name: str) -> str:
    """The method that is the rule of the one called ``name`` on one rank."""
    method: Any = load_method(name)
    return str(method.ON_ONE_RANK)


def updates_in_turn(method: Method) -> bool:
    """Whether ``method`` calls an optimizer for each module itself."""
    return bool(getattr(method, "PER_MODULE_OPTIMIZERS", False))


def why_not_planned(name: str) -> str | None:
    """Why the bytes of the method called ``name`` cannot be planned; None where they can."""
    reason: str | None = getattr(load_method(name), "NOT_PLANNED", None)
    return reason


def refusal(name: str, cell: "Cell") -> str | None:
    """Why the method called ``name`` does not take ``cell``; None where it does."""
    method = load_method(name)
    networks = getattr(method, "NETWORKS", None)
    if networks is not None and cell.network not in networks:
        return f"network = {cell.network!r} for method {name!r}; legal: {list(networks)}"
    refuse = getattr(method, "refusal", None)
    return None if refuse is None else refuse(cell)
