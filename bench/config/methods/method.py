"""One training rule: what its row may declare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bench.config.cell import Cell

Setting = Callable[[Any, Cell], Any]
Code = Callable[..., Any] | str  # what is called, or its name as "package.module:function"

NOTHING: Mapping[str, Any] = MappingProxyType({})


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
        is_peer: it has SID's local objective and is another paper's rule, which stands beside SID.
        settings: for each axis that the rule reads as a keyword, a function of the cell's value, which may be None, and
            the cell, that gives the keyword's value.
        networks: the names of networks that it takes, or layouts (``cascade``, ``pipeline``); None: any.
        refusal: ``refusal(cell)`` says why it does not take a cell, naming the field, the value and the legal values,
            or None.
        recomputes: the parts of a network that it lets the harness run again (``trunk``, ``modules``).
        on_ranks: ``on_ranks(network, **keywords)``, called on every rank, gives a
            :class:`bench.train.ranks.share.RankShare`; None where it runs on one rank only.
        on_one_rank: the method that is the same rule on one rank.
        not_trained_on_ranks: why a cell on several ranks has no accuracy pass; None where its ``RankShare`` gathers the
            weights of all ranks.
        per_module_optimizers: the rule gets the keyword ``optimizers``, one per module, calls them itself and frees the
            gradients; those of the trunk are left to the harness.
        per_parameter_optimizers: the same with one optimizer for each of the network's parameters, in their order.
        logits_by_module: ``logits_by_module(network, images)`` reads a network that the rule has trained; it yields
            None for a module that the rule does not train. None: the network's own.
        predict: ``predict(network, images)`` gives the logits of the last module, ``[B, C]``, and runs no more than
            these need: what the inference pass measures. None: the last of ``logits_by_module``.
        auxiliary: ``auxiliary(network, **known)`` makes a module that is trained, or only held, beside the network: a
            decoder, a similarity map, feedback matrices, a moving average. It names what it needs of ``known``:
            ``network``, ``shape`` (channels, height, width), ``classes``, ``samples`` (of the training split; None
            where only files can tell), ``transition`` (the matrix ``[C, C]`` of the label noise, None likewise), any
            axis of a cell and the keywords of the rule. It draws its weights from torch's generator, which has a seed
            of its own, made from the cell's. The rule gets the module as the keyword ``auxiliary``. Its
            parameters and buffers count as those of the network do, and the optimizer updates it.
        predicts_with_auxiliary: ``logits_by_module`` and ``predict`` get the keyword ``auxiliary``, too. Otherwise a
            prediction does without it.
        after_step: ``after_step(network, **keywords)`` is called after the optimizer's step, with the keywords of the
            rule. Its time counts as the optimizer's.
        state_by_sample: the auxiliary module grows with the number of training images, so that bytes depend on
            ``train_samples``.
        learn_from_bp: ``learn_from_bp(auxiliary, logits)`` is called before the accuracy pass trains the method. The
            pass then trains another network first: by BP, from the same weights, on the same batches, for as many
            epochs. With the weights of the epoch that validation chooses, it gives ``logits`` ``[N, C]`` of all
            training images. The record holds how many epochs that took; other passes measure one step of the method.
        uses_indices: the rule gets the keyword ``indices``, int64 ``[B]``: the place of each image in the training
            split. In passes that repeat one batch these are 0 to B - 1, or as far as there are images, again from 0.
        uses_pixels: the rule gets the keyword ``pixels``, ``[B, channels, H, W]``: the images in 0..1, before they were
            normalised. Where the data are not bytes, 0 and 1 are the least and the greatest value of the training data.
        not_in_parts: why the gradients of the parts of a batch do not make those of the batch, so that
            ``micro_batches`` is refused: a loss that compares the samples of a batch. None where they do.
        compiles: it compiles its step, which needs a compiler and hides the step from the exact instrument of memory.
        not_planned: why its bytes cannot be planned; None where they can.
        colour: of its lines in figures, as ``#rrggbb``; None: the report chooses.
        order: its place in tables and figures; methods without one come last, by name.
        alias_of: the method that it is with the values of ``presets``; an alias has no rule of its own.
        presets: values of axes where a cell leaves them open, or functions of the other values that give them.
        source: where the row comes from.
    """

    name: str
    summary: str
    rule: Code | None = None
    keywords: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    uses_alpha: bool = False
    objective: bool = False
    is_peer: bool = False
    settings: Mapping[str, Setting] = field(default_factory=lambda: NOTHING)
    networks: tuple[str, ...] | None = None
    refusal: Callable[[Cell], str | None] | None = None
    recomputes: tuple[str, ...] = ("trunk", "modules")
    on_ranks: Code | None = None
    on_one_rank: str | None = None
    not_trained_on_ranks: str | None = "which does not gather the weights of all ranks"
    per_module_optimizers: bool = False
    per_parameter_optimizers: bool = False
    logits_by_module: Code | None = None
    predict: Code | None = None
    auxiliary: Code | None = None
    predicts_with_auxiliary: bool = False
    state_by_sample: bool = False
    learn_from_bp: Code | None = None
    after_step: Code | None = None
    uses_indices: bool = False
    uses_pixels: bool = False
    not_in_parts: str | None = None
    compiles: bool = False
    not_planned: str | None = None
    colour: str | None = None
    order: int | None = None
    alias_of: str | None = None
    presets: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    source: str = "sid-bench"

    def settings_for(self, cell: Cell) -> dict[str, Any]:
        """The keywords that the rule gets for ``cell``: fixed ones, and those that the cell chooses."""
        chosen = {name: choose(getattr(cell, name, None), cell) for name, choose in self.settings.items()}
        return {**self.keywords, **chosen}

    def presets_for(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of ``presets`` beside the other ``values`` of a cell."""
        return {name: preset(values) if callable(preset) else preset for name, preset in self.presets.items()}

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that it has besides its rule, by name."""
        names = ("auxiliary", "after_step", "uses_indices", "uses_pixels")
        values = (self.auxiliary, self.after_step, self.uses_indices, self.uses_pixels)
        return tuple(name for name, value in zip(names, values, strict=True) if value)

    @property
    def updates_within_step(self) -> bool:
        """Whether the rule itself calls optimizers."""
        return self.per_module_optimizers or self.per_parameter_optimizers

    @property
    def rank_limits(self) -> tuple[int, int | None]:
        """The fewest and the most ranks that it runs on, None where any number will do."""
        return (1 if self.rule is not None else 2), (None if self.on_ranks is not None else 1)
