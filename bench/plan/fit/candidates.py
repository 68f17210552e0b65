"""The cells that ``sid-bench fit`` plans: each rule with its settings, and why others are refused."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.config.backbones import BACKBONES
from bench.config.cell import Cell
from bench.config.methods import load_method, method_names, peer_names
from bench.config.networks import describe, load_network, network_names
from bench.config.plugins import is_reference
from bench.config.sweep import load_sweep, parse_overrides
from bench.errors import ConfigError, unknown
from bench.plan.grid import memory_cells, shape_of

GROUPS = ("usual", "peers", "all")
# The methods of the group ``usual``: those with their settings, and those without.
_WITH_SETTINGS = ("bp", "bp-plain", "sid-streamed")
_ALONE = (
    *("bp-step-in-backward", "bp-budget", "bp-offload"),
    *("sid-published", "sid-streamed-in-turn", "sid-streamed-compiled", "sid-vectorised"),
)
_MICRO_BATCHES = (2, 4, 8)
_RUN_AGAIN = {"pipeline": ("modules", "selective"), "cascade": ("trunk", "modules", "selective", "all")}
_CHANNELS = 3  # of the synthetic images, unless the cell says


@dataclass(frozen=True)
class Refusal:
    """A rule that is not planned.

    Attributes:
        method: its name.
        setting: ``AXIS=VALUE``; empty where the rule itself is refused.
        reason: names the field, the value and the legal values.
    """

    method: str
    setting: str
    reason: str

    @property
    def what(self) -> str:
        """The method and its setting."""
        return f"{self.method} {self.setting}".strip()


@dataclass(frozen=True)
class Candidates:
    """What is planned, and what is not.

    Attributes:
        cells: one per rule and setting, with axes that memory does not depend on at their defaults.
        device: the device of all of them.
        refused: the others.
    """

    cells: tuple[Cell, ...]
    device: str
    refused: tuple[Refusal, ...]


def network_name(given: str) -> str:
    """Return the network that ``given`` names: one of ``sid-bench list networks``, a backbone, ``FILE.py:ATTRIBUTE``.

    A backbone, such as torchvision's ``resnet50``, stands for its pipeline.

    Raises:
        ConfigError: there is no such network.
    """
    if given in BACKBONES:
        return f"pipeline-{given}"
    if given not in network_names() and not is_reference(given):
        names = unknown("network", given, [*network_names(), *BACKBONES])
        raise ConfigError(f"{names}, or package.module:attribute, or path/to/file.py:attribute")
    load_network(given)
    return given


def chosen_methods(text: str) -> dict[str, bool]:
    """Return the methods that ``--methods`` names, and of each whether its settings are planned, too.

    Args:
        text: names of methods, which come with their settings, and of :data:`GROUPS`, joined by commas.

    Raises:
        ConfigError: there is no such method or group.
    """
    chosen: dict[str, bool] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        found = _group(name)
        if found is None:
            if not is_reference(name) and name not in method_names():
                raise ConfigError(f"--methods: {unknown('method', name, [*GROUPS, *method_names()])}")
            load_method(name)
            found = {name: True}
        chosen |= {method: with_settings or chosen.get(method, False) for method, with_settings in found.items()}
    if not chosen:
        raise ConfigError(f"--methods {text!r}; legal: {', '.join(GROUPS)} and names of methods, joined by commas")
    return chosen


def find_candidates(
    network: str, methods: Mapping[str, bool], overrides: Sequence[str] = (), data_root: Path | None = None
) -> Candidates:
    """Return the cells of ``network``, in the order of ``methods``.

    Args:
        network: its name.
        methods: by name, whether to plan micro-batches and recomputation beside the rule itself.
        overrides: texts ``AXIS=VALUE,...`` for all of them; an axis that is given here is not varied.
        data_root: the directory of data sets from files.

    Raises:
        ConfigError: no rule takes what ``overrides`` say; or they name the network, the method or several devices.
    """
    given = parse_overrides(overrides)
    for name, option in (("network", "NETWORK"), ("method", "--methods")):
        if name in given:
            raise ConfigError(f"--set {name}={','.join(map(str, given[name]))} beside {option}; legal: {option} alone")
    devices = [str(device) for device in given.get("device", ["cpu"])]
    if len(devices) > 1:
        raise ConfigError(f"--set device={','.join(devices)}; legal: one device, whose memory the budget is")
    shared = [f"network={network}", *overrides]
    if "dataset" not in given and "channels" not in given:
        shared.append(f"channels={_CHANNELS}")
    cells: dict[Cell, None] = {}
    refused: list[Refusal] = []
    for method, with_settings in methods.items():
        try:
            own = _cells(method, shared, data_root)
        except ConfigError as error:  # so its settings need no word
            refused.append(Refusal(method, "", str(error)))
            continue
        cells.update(dict.fromkeys(own))
        for setting in _settings(own[0], given, data_root) if with_settings else ():
            try:
                cells.update(dict.fromkeys(_cells(method, [*shared, setting], data_root)))
            except ConfigError as error:
                refused.append(Refusal(method, setting, str(error)))
    if not cells:
        raise ConfigError(refused[0].reason)
    return Candidates(tuple(cells), devices[0], tuple(refused))


def _group(name: str) -> dict[str, bool] | None:
    """Return the methods of a group, and of each whether it comes with its settings; None if there is no such group."""
    if name == "usual":
        return dict.fromkeys(_WITH_SETTINGS, True) | dict.fromkeys(_ALONE, False)
    if name == "peers":
        return dict.fromkeys(peer_names(), False)
    return dict.fromkeys(filter(_is_own_rule, method_names()), False) if name == "all" else None


def _is_own_rule(name: str) -> bool:
    try:
        return load_method(name).alias_of is None
    except ConfigError:  # of another package; its cell says why
        return True


def _cells(method: str, options: Sequence[str], data_root: Path | None) -> list[Cell]:
    row = load_method(method)
    reason = row.not_planned if row.alias_of is None else load_method(row.alias_of).not_planned
    if reason is not None:
        raise ConfigError(f"method {method!r} can be measured, but not planned: {reason}")
    return memory_cells(load_sweep(None, [*options, f"method={method}"]).cells, data_root)


def _settings(cell: Cell, given: Container[str], data_root: Path | None) -> Iterator[str]:
    """Yield the settings of the rule of ``cell``, one axis at a time, as far as ``given`` leaves the axis open."""
    layout = describe(load_network(cell.network), *shape_of(cell, data_root)).layout
    if "recompute" not in given and layout is not None:
        yield from (f"recompute={parts}" for parts in _RUN_AGAIN[layout])
    if "micro_batches" not in given:
        yield from (f"micro_batches={count}" for count in _MICRO_BATCHES)
