"""The methods by name: our own, those of other packages, and what ``module:attribute`` names.

Another package adds a method with an entry point in the group ``sid_bench.methods`` that names a :class:`Method`, or a
module with the three names of :func:`from_module`; ``module:attribute`` names either without packaging.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from math import inf
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from bench.config.cell import Cell
from bench.config.methods import bp, bp_schedules, controls, peers, sid
from bench.config.methods.method import NOTHING, Method
from bench.config.plugins import resolve
from bench.config.registry import Registry
from bench.errors import ConfigError

GROUP = "sid_bench.methods"


def from_module(name: str, module: Any) -> Method:
    """The row of a module with the names ``SUMMARY``, ``USES_ALPHA`` and ``accumulate_gradients``.

    ``accumulate_gradients(network, images, labels, alpha)`` is the rule. A module may have more names, which mean what
    the fields of :class:`Method` mean: ``OBJECTIVE`` (the rule then also gets the keywords ``direction``, ``reduction``
    and, in direction ``reverse``, ``smoothing``), ``SETTINGS``, ``NETWORKS``, ``refusal``, ``on_ranks``,
    ``ON_ONE_RANK``, ``NOT_TRAINED_ON_RANKS``, ``PER_MODULE_OPTIMIZERS``, ``logits_by_module``, ``predict``,
    ``auxiliary``, ``PREDICTS_WITH_AUXILIARY``, ``STATE_BY_SAMPLE``, ``learn_from_bp``, ``after_step``,
    ``USES_INDICES``, ``USES_PIXELS``, ``NOT_IN_PARTS`` and ``NOT_PLANNED``.

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
        settings=offered("SETTINGS", NOTHING),
        networks=None if networks is None else tuple(networks),
        refusal=offered("refusal"),
        on_ranks=offered("on_ranks"),
        on_one_rank=offered("ON_ONE_RANK"),
        not_trained_on_ranks=offered("NOT_TRAINED_ON_RANKS", Method.not_trained_on_ranks),
        per_module_optimizers=bool(offered("PER_MODULE_OPTIMIZERS", False)),
        logits_by_module=offered("logits_by_module"),
        predict=offered("predict"),
        auxiliary=offered("auxiliary"),
        predicts_with_auxiliary=bool(offered("PREDICTS_WITH_AUXILIARY", False)),
        state_by_sample=bool(offered("STATE_BY_SAMPLE", False)),
        learn_from_bp=offered("learn_from_bp"),
        after_step=offered("after_step"),
        uses_indices=bool(offered("USES_INDICES", False)),
        uses_pixels=bool(offered("USES_PIXELS", False)),
        not_in_parts=offered("NOT_IN_PARTS"),
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
            f"method {name!r} ({source}) is of type {type(offered).__name__}; legal: "
            "a bench.config.methods.Method, a rule (network, images, labels, objective) -> loss, or a module with "
            "SUMMARY, USES_ALPHA and accumulate_gradients"
        )
    return replace(offered, name=name, source=source)


def _rows_of_peers() -> list[Method]:
    """The rows of every module in ``peers``."""
    modules = [import_module(f"{peers.__name__}.{found.name}") for found in iter_modules(peers.__path__)]
    return [row for module in modules for row in module.ROWS]


def _own_rows() -> Iterator[Method]:
    """The rows of this package: BP's, SID's, controls, and those of every module in ``peers``, by ``order``."""
    rows: list[Method] = [row for module in (bp, controls, sid, bp_schedules) for row in module.ROWS]
    rows += _rows_of_peers()
    yield from sorted(rows, key=lambda row: inf if row.order is None else row.order)


_REGISTRY = Registry("method", GROUP, {row.name: row for row in _own_rows()}, _row)
load_method = _REGISTRY.load
known_method = _REGISTRY.known


def is_compiled(cell: Cell) -> bool:
    """Whether code of a step of ``cell`` is compiled."""
    return cell.compile or load_method(cell.method).compiles


def method_names() -> list[str]:
    """The names of all methods, those of other packages included."""
    return sorted(_REGISTRY.names())


def peer_names() -> list[str]:
    """The methods of ``bench/config/methods/peers`` that have a rule of their own."""
    return [row.name for row in _rows_of_peers() if row.alias_of is None]


def is_of_bp(name: str) -> bool:
    """Whether a method is backpropagation, run in one way or another; controls with other losses are not."""
    return name in bp.WAYS


def is_of_sid(name: str) -> bool:
    """Whether a method is one of SID's, with its local objective; False for one that is not installed."""
    row = known_method(name)
    return row is not None and row.objective and not row.is_peer
