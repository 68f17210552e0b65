"""Networks, by name: one row each.

Another package adds a network with an entry point in the group ``sid_bench.networks``, and ``module:attribute`` names
one without packaging. Either may be a :class:`Network`, a builder that gives a :class:`sid_core.BeliefNetwork`, or
units: a list of modules, or a builder that gives one. The harness cuts units into the stages of a pipeline and gives
each stage a head.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from bench.config.backbones import BACKBONES
from bench.config.plugins import resolve
from bench.config.registry import Registry
from bench.errors import ConfigError

GROUP = "sid_bench.networks"

Layout = Literal["cascade", "pipeline"]
Shape = tuple[int, int, int]  # channels, height, width

_LEAST_SIDE = 4  # two poolings need so many pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network that cells can name.

    Attributes:
        name: what it is called.
        summary: one line for ``sid-bench list``.
        layout: ``cascade`` (modules on a shared trunk) or ``pipeline`` (a backbone in stages); None until the network
            has been built once, see :func:`describe`.
        builder: what makes it, or its name as ``"package.module:function"``. It is called with those of ``shape``
            (channels, height, width), ``classes``, ``modules``, ``cut``, ``hidden``, ``depth``, ``width`` and the other
            axes of a cell that it names, and gives a :class:`sid_core.BeliefNetwork` or a list of units. It draws its
            weights from torch's generator. A list of modules may stand in its place.
        keywords: passed to the builder in every cell.
        units: how many units it has, which is then the depth of each of its cells; None where the depth is free.
        reads: which of ``depth``, ``cut``, ``width``, ``hidden`` and ``head`` bear on it.
        has_heads: the harness makes the heads of its stages, as ``head`` and, for some heads, ``hidden`` say.
        refuse_sides: ``refuse_sides(height, width)`` gives the legal sizes where images are not, else None.
        backbone: the backbone that it is made of; networks of one backbone are shown beside each other.
        source: where the row comes from.
    """

    name: str
    summary: str
    layout: Layout | None
    builder: Any
    keywords: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    units: int | None = None
    reads: frozenset[str] = frozenset({"depth", "width", "hidden"})
    has_heads: bool = False
    refuse_sides: Callable[[int, int], str | None] | None = None
    backbone: str | None = None
    source: str = "sid-bench"


def _pooled_twice(height: int, width: int) -> str | None:
    return f"{_LEAST_SIDE} or more" if min(height, width) < _LEAST_SIDE else None


def _rows() -> dict[str, Network]:
    rows = [
        Network(
            name="cascade-conv",
            summary="a cascade on the authors' convolutional trunk",
            layout="cascade",
            builder="bench.train.networks.build:cascade_on_convolutions",
            refuse_sides=_pooled_twice,
        ),
        Network(
            name="cascade-linear",
            summary="a cascade on one linear layer, which shows the modules' own cost",
            layout="cascade",
            builder="bench.train.networks.build:cascade_on_linear_layer",
        ),
        Network(
            name="cascade-linear-residual",
            summary="cascade-linear whose modules of several layers have shortcuts and layer normalisation",
            layout="cascade",
            builder="bench.train.networks.residual:cascade_of_residual_modules",
        ),
        Network(
            name="pipeline-linear",
            summary="linear layers of equal width in stages, as many as depth says",
            layout="pipeline",
            builder="bench.train.networks.build:pipeline_of_linear_layers",
            reads=frozenset({"depth", "width", "hidden", "head"}),
            has_heads=True,
        ),
    ]
    for name, backbone in BACKBONES.items():
        shared: dict[str, Any] = {
            "refuse_sides": backbone.refuse_sides,
            "backbone": name,
            "source": "sid-bench" if backbone.torchvision_file is None else "torchvision",
        }
        rows.append(
            Network(
                name=f"pipeline-{name}",
                summary=f"in stages: {backbone.summary}",
                layout="pipeline",
                builder="bench.train.networks.build:backbone_units",
                keywords={"backbone": name},
                units=backbone.units,
                reads=frozenset({"cut", "hidden", "head"}),
                has_heads=True,
                **shared,
            )
        )
        if backbone.is_trunk:
            rows.append(
                Network(
                    name=f"cascade-{name}",
                    summary=f"as the trunk of a cascade: {backbone.summary}",
                    layout="cascade",
                    builder="bench.train.networks.build:cascade_on_backbone",
                    keywords={"backbone": name},
                    **shared,
                )
            )
    return {row.name: row for row in sorted(rows, key=lambda row: row.name)}


def describe(network: Network, shape: Shape, classes: int) -> Network:
    """``network`` with its layout, what it reads, and the number of its units where it is made of units.

    A network of somebody's own is built once for that, without arithmetic; this loads torch.

    Raises:
        ConfigError: it cannot be built.
    """
    if network.layout is not None:
        return network
    described: Network = resolve("bench.train.networks.own:described")(network, shape, classes)
    return described


def _row(name: str, offered: Any, source: str) -> Network:
    if isinstance(offered, Network):
        return replace(offered, name=name, source=source)
    if not callable(offered) and not isinstance(offered, list | tuple):
        raise ConfigError(
            f"network {name!r} ({source}) is of type {type(offered).__name__}; legal: "
            "a bench.config.networks.Network, a builder (shape, classes, modules, cut, hidden) -> BeliefNetwork or "
            "list of modules, or a list of modules"
        )
    text = offered.__doc__ if callable(offered) else f"{len(offered)} units in stages"
    summary = (text or "a network").strip().splitlines()[0]
    return Network(name=name, summary=summary, layout=None, builder=offered, source=source)


_REGISTRY = Registry("network", GROUP, _rows(), _row)
load_network = _REGISTRY.load
known_network = _REGISTRY.known
network_names = _REGISTRY.names
