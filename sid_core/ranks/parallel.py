"""The SID step of a cascade over ranks: each rank has its own modules, and all ranks run backward at the same time.

A rank sends the logits of its last module to the next rank before it runs backward. While it waits for the logits of
the rank before, it computes what does not depend on them. No gradient crosses between modules, so the only gradient to
exchange is the one in the shared features: it is summed over ranks before the backward pass of the trunk.
"""

from typing import Protocol, Unpack

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core.network import Cascade
from sid_core.objective import Alpha, Objective, ObjectiveOptions, belief_dtype, check_batch, objective_of
from sid_core.phases import enter, phase
from sid_core.ranks.part import RankPart
from sid_core.steps.chain import BeliefChain
from sid_core.steps.closed_form import (
    Layer,
    add_product,
    first_layer_backward,
    input_of_modules,
    is_closed_form,
    layer_backward,
    layers_of,
)
from sid_core.steps.trunk import run_trunk


def parallel_step(
    part: RankPart,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """:func:`sid_core.published_step` over several ranks: accumulates gradients into ``.grad`` of ``part.network``.

    All ranks call it with the same arguments except ``part``, and then step their own optimizers. The trunk gets the
    same gradients on all ranks and draws no random numbers, so it stays the same on all. A rank holds the activations
    of its own modules only.

    Args:
        part: this rank's part of a cascade; see :func:`sid_core.rank_part`.
        images: the whole batch, ``[B, ...]``.
        labels: ``[B]``.
        objective: an :class:`sid_core.Objective`, or alpha, for the whole network.
        **options: as for ``published_step``.

    Returns:
        The loss of the step over all modules, the same on all ranks, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``part`` is not of a cascade, the objective is not legal, or there is not one int64 label per
            image.
        RankLostError: another rank has ended, or has not answered within the timeout of the process group.
    """
    network = part.network
    if not isinstance(network, Cascade):
        raise ValueError(
            f"part is of a {type(network).__name__}, whose modules need each other's features one after the other; "
            "legal for parallel_step: a Cascade (pipelined_steps takes a Pipeline)"
        )
    objective = objective_of(objective, options, part.modules)
    check_batch(images, labels)
    enter("forward")
    features, run_trunk_backward = run_trunk(network.trunk, images)
    modules: _Modules
    with torch.no_grad():
        incoming = _IncomingLogits(part, features)
        make = _ClosedForm if is_closed_form(network) else _ByAutograd
        modules = make(part, features, run_trunk_backward is not None)
        chain = part.own_chain(features, incoming.wait(), labels, objective)
        logits = modules.forward(chain)
        sent = _begin_send(part, logits)
        loss = chain.loss
        feature_gradient = modules.backward()
        if feature_gradient is not None:  # all ranks need one dtype and layout, and may have taken different ways
            feature_gradient = feature_gradient.to(belief_dtype(features)).contiguous()
        with phase("wait"), part.communicating("while gradients were added up"):
            for work in sent:
                work.wait()
            dist.all_reduce(loss, group=part.group)
            if feature_gradient is not None:
                dist.all_reduce(feature_gradient, group=part.group)
        enter("forward")
    del modules, chain, logits, features
    if run_trunk_backward is not None and feature_gradient is not None:
        run_trunk_backward(feature_gradient)
    return loss


class _IncomingLogits:
    """The logits of the last module of the rank before.

    Receiving begins at once, so that they can arrive while this rank computes what does not depend on them.
    """

    def __init__(self, part: RankPart, features: Tensor) -> None:
        self._part = part
        if part.rank > 0:
            self._logits = features.new_empty(len(features), part.network.classes, dtype=belief_dtype(features))
            with part.communicating("before its belief came"):
                self._work = part.begin_receive(self._logits, part.rank - 1)

    def wait(self) -> Tensor | None:
        """Waits for the logits and returns them, ``[B, C]``; None on the first rank."""
        if self._part.rank == 0:
            return None
        with phase("wait"), self._part.communicating("before its belief came"):
            self._work.wait()
        return self._logits


def _begin_send(part: RankPart, logits: Tensor) -> list[dist.Work]:
    """Starts to send ``logits`` to the next rank, if there is one."""
    if part.rank == part.ranks - 1:
        return []
    with part.communicating("to which it sent its belief"):
        return [part.begin_send(logits, part.rank + 1)]


class _Modules(Protocol):
    """This rank's modules. All run forward, then all run backward, the last first, which a cache may hold."""

    def forward(self, chain: BeliefChain) -> Tensor:
        """Advances ``chain`` over the modules; returns the last logits, ``[B, C]``, contiguous."""

    def backward(self) -> Tensor | None:
        """Adds to ``.grad``; returns the gradient in the features, ``[B, d]``, or None."""


class _ClosedForm:
    """Local modules without autograd; see :mod:`sid_core.steps.closed_form`."""

    def __init__(self, part: RankPart, features: Tensor, wants_feature_gradient: bool) -> None:
        self._classes = part.network.classes
        self._wants_feature_gradient = wants_feature_gradient
        self._features = features
        self._modules = list(enumerate(map(layers_of, part.network.local_modules), part.first + 1))
        self._feature_shares: list[Tensor] = []  # what the features contribute to the first layer of each module
        # Number, layers, belief before, input of each linear layer but the first, gradient in the logits.
        self._done: list[tuple[int, list[Layer], Tensor, list[Tensor], Tensor]] = []
        if part.rank > 0:  # there is time, until the belief arrives
            for number, ((weight, bias), *_) in self._modules:
                enter("forward", number)
                feature_weight = weight[:, self._classes :]
                self._feature_shares.append(torch.addmm(bias, features, feature_weight.t()))
            self._feature_shares.reverse()  # they are taken from the end
            enter("forward")

    def forward(self, chain: BeliefChain) -> Tensor:
        self._stacked = input_of_modules(chain.belief, self._features)
        for number, layers in self._modules:
            enter("forward", number)
            belief = chain.belief
            activations = [self._first_layer(*layers[0], belief).relu_()]
            for weight, bias in layers[1:-1]:
                activations.append(F.linear(activations[-1], weight, bias).relu_())
            logits = F.linear(activations[-1], *layers[-1])
            logits = logits.to(belief_dtype(logits))
            gradient = chain.advance(logits).to(self._stacked.dtype)
            self._done.append((number, layers, belief, activations, gradient))
        return logits

    def backward(self) -> Tensor | None:
        feature_gradient: Tensor | None = None
        classes = self._classes if self._wants_feature_gradient else None
        while self._done:
            number, (first, *others), belief, activations, gradient = self._done.pop()
            enter("backward", number)
            while others:
                gradient = layer_backward(*others.pop(), activations.pop(), gradient)
            self._stacked[:, : self._classes] = belief
            feature_gradient = first_layer_backward(*first, self._stacked, gradient, feature_gradient, classes)
        return feature_gradient

    def _first_layer(self, weight: nn.Parameter, bias: nn.Parameter, belief: Tensor) -> Tensor:
        if self._feature_shares:
            share = self._feature_shares.pop()
            return add_product(share, belief, weight[:, : self._classes].t(), share.dtype)
        self._stacked[:, : self._classes] = belief
        return F.linear(self._stacked, weight, bias)


class _ByAutograd:
    """Modules of any kind, with one graph per module."""

    def __init__(self, part: RankPart, features: Tensor, wants_feature_gradient: bool) -> None:
        self._part = part
        self._features = features.detach().requires_grad_(wants_feature_gradient)
        self._graphs: list[tuple[int, Tensor, Tensor]] = []

    def forward(self, chain: BeliefChain) -> Tensor:
        network, features = self._part.network, self._features
        for number, module in enumerate(network.local_modules, self._part.first + 1):
            enter("forward", number)
            with torch.enable_grad():
                logits, features = network.run_module(module, chain.belief, features)
            self._graphs.append((number, logits, chain.advance(logits.detach())))
        return logits.detach().contiguous()

    def backward(self) -> Tensor | None:
        while self._graphs:
            number, logits, gradient = self._graphs.pop()
            enter("backward", number)
            if logits.requires_grad:
                logits.backward(gradient)
        if self._features.requires_grad and self._features.grad is None:  # the sum over ranks needs a share of each
            return torch.zeros_like(self._features)
        return self._features.grad
