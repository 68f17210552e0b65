"""Training rules, by name: one row each.

A row names its code as ``"package.module:function"`` where that needs torch, which the process that plans a sweep does
not load. Another package adds a method with an entry point in the group ``sid_bench.methods`` that names a
:class:`Method`, or a module with the three names of :func:`from_module`; ``module:attribute`` names either without
packaging.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any

from bench.config.cell import Cell
from bench.config.plugins import resolve
from bench.config.registry import Registry
from bench.config.schedules import SCHEDULES, micro_batches_of_schedule, refuse_schedule
from bench.errors import ConfigError

GROUP = "sid_bench.methods"
BASELINE = "bp"

Setting = Callable[[Any, Cell], Any]
Code = Callable[..., Any] | str  # what is called, or its name as "package.module:function"

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_COMPILED = "what compiled code allocates, only its compiler knows"


@dataclass(frozen=True, kw_only=True, eq=False)
class Method:
    """A training rule.

    Attributes:
        name: what it is called.
        summary: one line for ``sid-bench list``.
        rule: ``rule(network, images, labels, objective, **keywords)`` adds one step's gradients to ``.grad`` of the
            network's parameters and returns the loss, a tensor of shape ``[]``. ``objective`` is a
            :class:`sid_core.Objective` where the rule reads alpha, else None. None where the method means nothing on
            one rank.
        keywords: passed to ``rule`` and ``on_ranks`` in every cell.
        uses_alpha: the rule reads the cell's ``alpha``; one that does not is not run once per alpha.
        objective: it has SID's local objective, so that ``direction``, ``smoothing`` and ``loss_reduction`` apply.
        settings: for each axis that the rule reads as a keyword, a function of the cell's value, which may be None, and
            the cell, that gives the keyword's value.
        networks: the names of networks that it takes, or layouts (``cascade``, ``pipeline``); None: any.
        refusal: ``refusal(cell)`` says why it does not take a cell, naming the field, the value and the legal values,
            or None.
        recomputes: the parts of a network that it lets the harness run again (``trunk``, ``modules``).
        on_ranks: ``on_ranks(network, **keywords)``, called on every rank, gives a
            :class:`bench.train.ranks.share.RankShare`; None where it runs on one rank only.
        on_one_rank: the method that is the same rule on one rank.
        per_module_optimizers: the rule gets the keyword ``optimizers``, one per module, calls them itself and frees the
            gradients; those of the trunk are left to the harness.
        per_parameter_optimizers: the same with one optimizer for each of the network's parameters, in their order.
        logits_by_module: ``logits_by_module(network, images)`` reads a network that the rule has trained; it yields
            None for a module that the rule does not train. None: the network's own.
        compiles: it compiles its step, which needs a compiler and hides the step from the exact instrument of memory.
        not_planned: why its bytes cannot be planned; None where they can.
        colour: of its lines in figures, as ``#rrggbb``; None: the report chooses.
        order: its place in tables and figures; methods without one come last, by name.
        alias_of: the method that it is with the values of ``presets``; an alias has no rule of its own.
        presets: values of axes that an alias stands for, or functions of the other values that give them.
        source: where the row comes from.
    """

    name: str
    summary: str
    rule: Code | None = None
    keywords: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    uses_alpha: bool = False
    objective: bool = False
    settings: Mapping[str, Setting] = field(default_factory=lambda: _NOTHING)
    networks: tuple[str, ...] | None = None
    refusal: Callable[[Cell], str | None] | None = None
    recomputes: tuple[str, ...] = ("trunk", "modules")
    on_ranks: Code | None = None
    on_one_rank: str | None = None
    per_module_optimizers: bool = False
    per_parameter_optimizers: bool = False
    logits_by_module: Code | None = None
    compiles: bool = False
    not_planned: str | None = None
    colour: str | None = None
    order: int | None = None
    alias_of: str | None = None
    presets: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    source: str = "sid-bench"

    def settings_for(self, cell: Cell) -> dict[str, Any]:
        """The keywords that the rule gets for ``cell``: fixed ones, and those that the cell chooses."""
        chosen = {name: choose(getattr(cell, name, None), cell) for name, choose in self.settings.items()}
        return {**self.keywords, **chosen}

    def presets_for(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What an alias stands for beside the other ``values`` of a cell."""
        return {name: preset(values) if callable(preset) else preset for name, preset in self.presets.items()}

    @property
    def updates_within_step(self) -> bool:
        """Whether the rule itself calls optimizers."""
        return self.per_module_optimizers or self.per_parameter_optimizers

    @property
    def rank_limits(self) -> tuple[int, int | None]:
        """The fewest and the most ranks that it runs on, None where any number will do."""
        return (1 if self.rule is not None else 2), (None if self.on_ranks is not None else 1)


def _no_compile(why: str, cell: Cell) -> str | None:
    return f"compile = True for method {cell.method!r}, {why}; legal: False" if cell.compile else None


def is_compiled(cell: Cell) -> bool:
    """Whether code of a step of ``cell`` is compiled."""
    return cell.compile or load_method(cell.method).compiles


def _one_alpha(cell: Cell) -> str | None:
    if isinstance(cell.alpha, tuple):
        return f"alpha = {list(cell.alpha)} for method {cell.method!r}; legal: one number in (0, 1]"
    return None


def _offload(cell: Cell) -> str | None:
    if cell.device == "cpu":
        return f"device = 'cpu' for method {cell.method!r}; legal: cuda or cuda:N"
    return _no_compile("whose compiled code keeps its own activations", cell)


def _four_parts(values: Mapping[str, Any]) -> int:
    """Four, or as many as a smaller batch has samples."""
    batch_size = values.get("batch_size")
    return min(4, batch_size) if isinstance(batch_size, int) and batch_size >= 1 else 4


def _all_or_chunk(chunk: int | None, cell: Cell) -> int:
    return min(chunk or cell.modules, cell.modules)


def _full_budget(budget: float | None, _cell: Cell) -> float:
    return 1.0 if budget is None else budget


def _bp_schedule(name: str, summary: str, schedule: str, colour: str, order: int) -> Method:
    return Method(
        name=name,
        summary=summary,
        on_ranks="bench.train.ranks.schedules:scheduled_share",
        keywords={"schedule": schedule},
        on_one_rank=BASELINE,
        networks=("pipeline",),
        settings={"micro_batches": micro_batches_of_schedule},
        refusal=partial(refuse_schedule, SCHEDULES[schedule]),
        colour=colour,
        order=order,
    )


def _sid(name: str, summary: str, **fields: Any) -> Method:
    return Method(name=name, summary=summary, uses_alpha=True, objective=True, **fields)


# Colours are Okabe and Ito's, which the colour-blind can tell apart: greys for BP's kin, blues for streamed SID. Those
# with a contrast below 3:1 on white are darkened to it.
_OWN = (
    Method(
        name=BASELINE,
        summary="backpropagation, end to end: the baseline",
        rule="bench.train.rules.bp:train_end_to_end",
        colour="#1c1c1c",
        order=0,
    ),
    Method(
        name="bp-checkpoint",
        summary="bp with recompute = modules: a checkpoint around each module, in a pipeline around each block",
        alias_of=BASELINE,
        presets={"recompute": "modules"},
        colour="#8a8a8a",
        order=1,
    ),
    Method(
        name="bp-checkpoint-trunk",
        summary="bp with recompute = all: the trunk in checkpointed segments, too",
        alias_of=BASELINE,
        presets={"recompute": "all"},
        colour="#57606a",
        order=2,
    ),
    Method(
        name="bp-microbatch",
        summary="bp in micro_batches = 4, unless another number is given",
        alias_of=BASELINE,
        presets={"micro_batches": _four_parts},
        colour="#a39077",
        order=3,
    ),
    Method(
        name="bp-selective",
        summary="bp with recompute = selective: as bp-checkpoint, but products and convolutions are held",
        alias_of=BASELINE,
        presets={"recompute": "selective"},
        colour="#b09a3c",
        order=3,
    ),
    Method(
        name="bp-step-in-backward",
        summary="backpropagation that updates each parameter in the backward pass: one gradient at a time",
        rule="bench.train.rules.bp_step_in_backward:train_with_step_in_backward",
        per_parameter_optimizers=True,
        colour="#4b6b57",
        order=3,
    ),
    Method(
        name="bp-budget",
        summary="backpropagation compiled as one graph, which holds at most a share of its activations",
        rule="bench.train.rules.bp_compiled:train_within_budget",
        settings={"activation_memory_budget": _full_budget},
        recomputes=(),
        refusal=partial(_no_compile, "which compiles its step itself"),
        compiles=True,
        not_planned=_COMPILED,
        colour="#7a4a8c",
        order=4,
    ),
    Method(
        name="bp-offload",
        summary="backpropagation with activations moved to pinned host memory (torch.autograd.graph.save_on_cpu)",
        rule="bench.train.rules.bp_offload:train_with_activations_on_host",
        refusal=_offload,
        not_planned="it moves bytes from the device to the host, and a plan counts those of one device",
        colour="#6e5f4b",
        order=4,
    ),
    Method(
        name="bp-plain",
        summary="backpropagation through the backbone and its last head alone, as it is usually trained",
        rule="bench.train.rules.bp_plain:train_last_head",
        logits_by_module="bench.train.rules.bp_plain:logits_by_module",
        networks=("pipeline",),
        refusal=partial(_no_compile, "which runs stages without their heads"),
        colour="#7d8fa3",
        order=5,
    ),
    Method(
        name="bp-label-smoothing",
        summary="backpropagation with label smoothing 1 - alpha: a control for gains under label noise",
        rule="bench.train.rules.bp:train_on_smoothed_labels",
        uses_alpha=True,
        refusal=_one_alpha,
        colour="#c28600",
        order=6,
    ),
    Method(
        name="bp-bootstrap",
        summary="backpropagation on alpha * label + (1 - alpha) * prediction (Reed et al., arXiv 1412.6596): a control",
        rule="bench.train.rules.bp:train_on_bootstrapped_labels",
        uses_alpha=True,
        refusal=_one_alpha,
        colour="#882255",
        order=7,
    ),
    Method(
        name="bp-gce",
        summary="backpropagation of generalised cross-entropy, q = 0.7 (arXiv 1805.07836): a control for label noise",
        rule="bench.train.rules.bp:train_on_generalised_cross_entropy",
        colour="#999933",
        order=8,
    ),
    Method(
        name="deep-supervision",
        summary="cross-entropy at every module, end to end (Lee et al., arXiv 1409.5185): a control for label noise",
        rule="bench.train.rules.bp:train_on_every_module",
        colour="#009e73",
        order=9,
    ),
    _sid(
        "sid-published",
        "SID as published: a teacher pass, then all local losses in one graph (arXiv 2510.03273)",
        rule="sid_core:published_step",
        colour="#d55e00",
        order=10,
    ),
    _sid(
        "sid-streamed-autograd",
        "SID streamed through autograd: a control that shows what the closed-form backward pass is worth",
        rule="sid_core:streamed_step",
        keywords={"closed_form": False},
        colour="#2b99da",
        order=11,
    ),
    _sid(
        "sid-streamed",
        "SID streamed: the same gradients, one module's activations at a time, no teacher pass",
        rule="sid_core:streamed_step",
        colour="#0072b2",
        order=12,
    ),
    _sid(
        "sid-streamed-in-turn",
        "SID streamed with an optimizer per module: one module's gradients at a time, the same weights",
        rule="sid_core:streamed_step",
        per_module_optimizers=True,
        colour="#003f87",
        order=13,
    ),
    _sid(
        "sid-streamed-compiled",
        "SID streamed with compiled modules: one graph for all modules of one shape, forward and backward",
        rule="sid_core:streamed_step",
        keywords={"compiled": True},
        recomputes=(),
        refusal=partial(_no_compile, "which compiles its step itself"),
        compiles=True,
        not_planned=_COMPILED,
        colour="#56b4d3",
        order=13,
    ),
    Method(
        name="sid-streamed-recompute",
        summary="sid-streamed with recompute = trunk: the trunk is run again, in checkpointed segments",
        alias_of="sid-streamed",
        presets={"recompute": "trunk"},
        colour="#00a3a3",
        order=14,
    ),
    _sid(
        "sid-vectorised",
        "SID vectorised: the same gradients, same-shaped modules in a few large products",
        rule="sid_core:vectorised_step",
        settings={"chunk": _all_or_chunk},
        networks=("cascade",),  # a pipeline's stages differ, and each needs the features of the one before
        recomputes=("trunk",),
        refusal=partial(_no_compile, "which calls no module"),
        colour="#cc79a7",
        order=15,
    ),
    _bp_schedule(
        "bp-gpipe",
        "backpropagation on several ranks, GPipe (arXiv 1811.06965): all micro-batches forward, then all backward",
        "GPipe",
        "#a6761d",
        16,
    ),
    _bp_schedule(
        "bp-1f1b",
        "backpropagation on several ranks, 1F1B (arXiv 1806.03377): micro-batches forward and backward in turns",
        "1F1B",
        "#5c4033",
        17,
    ),
    _bp_schedule(
        "bp-zb1p",
        "backpropagation on several ranks, zero bubble 1P (arXiv 2401.10241): weight gradients fill the gaps",
        "InterleavedZeroBubble",
        "#b5838d",
        18,
    ),
    _bp_schedule(
        "bp-zbv",
        "backpropagation on several ranks, zero bubble V (arXiv 2401.10241): first and last stage on one rank",
        "ZBVZeroBubble",
        "#7f7f2a",
        19,
    ),
    _sid(
        "sid-parallel",
        "SID on several ranks: beliefs are passed along, modules run backward at the same time; on one rank, streamed",
        rule="sid_core:streamed_step",
        on_ranks="bench.train.rules.sid_on_ranks:parallel_share",
        on_one_rank="sid-streamed",
        networks=("cascade",),  # a pipeline's stages have sid-pipelined
        colour="#2e8b8b",
        order=20,
    ),
    _sid(
        "sid-pipelined",
        "SID on several ranks, pipelined: features are passed on, then the stage updates and takes the next batch",
        on_ranks="bench.train.rules.sid_on_ranks:pipelined_share",
        on_one_rank="sid-streamed",
        networks=("pipeline",),  # a cascade's trunk waits for all modules
        colour="#6a51a3",
        order=21,
    ),
)


def from_module(name: str, module: Any) -> Method:
    """The row of a module with the names ``SUMMARY``, ``USES_ALPHA`` and ``accumulate_gradients``.

    ``accumulate_gradients(network, images, labels, alpha)`` is the rule. A module may have more names, which mean what
    the fields of :class:`Method` mean: ``OBJECTIVE`` (the rule then also gets the keywords ``direction``, ``reduction``
    and, in direction ``reverse``, ``smoothing``), ``SETTINGS``, ``NETWORKS``, ``refusal``, ``on_ranks``,
    ``ON_ONE_RANK``, ``PER_MODULE_OPTIMIZERS``, ``logits_by_module`` and ``NOT_PLANNED``.

    Raises:
        ConfigError: a name is missing.
    """
    needed = ("on_ranks", "ON_ONE_RANK") if hasattr(module, "on_ranks") else ("accumulate_gradients",)
    missing = [part for part in ("SUMMARY", "USES_ALPHA", *needed) if not hasattr(module, part)]
    if missing:
        raise ConfigError(f"method {name!r} ({module.__name__}) lacks {', '.join(missing)}")

    def offered(part: str, default: Any = None) -> Any:
        return getattr(module, part, default)

    has_objective = bool(offered("OBJECTIVE", False))
    rule = offered("accumulate_gradients")
    networks = offered("NETWORKS")
    return Method(
        name=name,
        summary=module.SUMMARY,
        rule=rule and partial(_call_with_alpha, rule, has_objective),
        uses_alpha=bool(module.USES_ALPHA),
        objective=has_objective,
        settings=offered("SETTINGS", _NOTHING),
        networks=None if networks is None else tuple(networks),
        refusal=offered("refusal"),
        on_ranks=offered("on_ranks"),
        on_one_rank=offered("ON_ONE_RANK"),
        per_module_optimizers=bool(offered("PER_MODULE_OPTIMIZERS", False)),
        logits_by_module=offered("logits_by_module"),
        not_planned=offered("NOT_PLANNED"),
    )


def _call_with_alpha(
    rule: Callable[..., Any],
    has_objective: bool,
    network: Any,
    images: Any,
    labels: Any,
    objective: Any,
    **keywords: Any,
) -> Any:
    """Calls a rule of the form ``(network, images, labels, alpha, **keywords)``."""
    if has_objective:
        keywords |= {"direction": objective.direction, "reduction": objective.reduction}
        if objective.direction == "reverse":
            keywords["smoothing"] = objective.smoothing
    return rule(network, images, labels, None if objective is None else objective.alpha, **keywords)


def rule_of(method: Method) -> Callable[..., Any]:
    """The code of a method's rule; loads torch.

    Raises:
        ConfigError: the method means nothing on one rank.
    """
    if method.rule is None:
        raise ConfigError(f"method {method.name!r} runs on several ranks only; legal: ranks of 2 or more")
    rule: Callable[..., Any] = resolve(method.rule)
    return rule


def _row(name: str, offered: object, source: str) -> Method:
    if isinstance(offered, ModuleType):
        offered = from_module(name, offered)
    elif callable(offered) and not isinstance(offered, Method):
        summary = (offered.__doc__ or "a training rule").strip().splitlines()[0]
        offered = Method(name=name, summary=summary, rule=offered)
    if not isinstance(offered, Method):
        raise ConfigError(
            f"method {name!r} ({source}) is a {type(offered).__name__}; legal: a bench.config.methods.Method, a rule "
            "(network, images, labels, objective) -> loss, or a module with SUMMARY, USES_ALPHA and "
            "accumulate_gradients"
        )
    return replace(offered, name=name, source=source)


_REGISTRY = Registry("method", GROUP, {row.name: row for row in _OWN}, _row)
load_method = _REGISTRY.load
known_method = _REGISTRY.known


def method_names() -> list[str]:
    """The names of all methods, those of other packages included."""
    return sorted(_REGISTRY.names())


def is_of_sid(name: str) -> bool:
    """Whether a method has SID's local objective; False for one that is not installed."""
    row = known_method(name)
    return row is not None and row.objective
