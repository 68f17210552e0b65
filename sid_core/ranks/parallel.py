"""The SID step over ranks: each has modules of its own, and all run backward at the same time.

A rank hands on its last module's logits as soon as it has them, and only then runs backward; what a module can do
without the belief before it, it does while that is on its way. No gradient crosses between modules, so the only
gradient to exchange is that of the shared features, which is added up over ranks before the trunk's backward pass.
"""

from typing import Protocol, Unpack

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from sid_core.network import Cascade
from sid_core.objective import Alpha, Objective, ObjectiveOptions, belief_dtype, check_batch, objective_of
from sid_core.phases import enter
from sid_core.ranks.part import RankPart
from sid_core.steps.chain import BeliefChain
from sid_core.steps.closed_form import add_product, input_of_modules, is_closed_form, run_backward


def parallel_step(
    part: RankPart,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """:func:`sid_core.published_step` on all ranks at once: accumulates gradients into ``.grad`` of ``part.network``.

    Every rank calls it with the same arguments but ``part``, and then its own optimizer. The trunk, which draws no
    random numbers, has the same gradients on all ranks, and so it stays the same on all. A rank holds activations of
    its own modules.

    Args:
        part: this rank's part of a cascade, see :func:`sid_core.rank_part`.
        images: the whole batch, ``[B, ...]``.
        labels: ``[B]``.
        objective: an :class:`sid_core.Objective`, or alpha, for the whole network.
        **options: as for ``published_step``.

    Returns:
        The loss of the step, over all modules and the same on all ranks, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``part`` is not of a cascade, the objective is not legal, or there is not one int64 label per
            image.
        RankLostError: another rank has ended, or has not answered within the process group's timeout.
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
    with torch.enable_grad():
        features = network.trunk(images)
    trunk_output = get_gradient_edge(features) if features.requires_grad else None
    features = features.detach()
    run: _Modules
    with torch.no_grad():
        incoming = _Incoming(part, features)
        run = (_ClosedForm if is_closed_form(network) else _ByAutograd)(part, features, trunk_output is not None)
        before = incoming.logits()
        enter("forward")
        chain = part.own_chain(features, before, labels, objective)
        logits = run.forward(chain)
        sent = _hand_on(part, logits)
        loss = chain.loss
        feature_gradient = run.backward()
        if feature_gradient is not None:  # in one type and layout on all ranks, however each has come by it
            feature_gradient = feature_gradient.to(belief_dtype(features)).contiguous()
        enter("wait")
        with part.talking("while gradients were added up"):
            for work in sent:
                work.wait()
            dist.all_reduce(loss, group=part.group)
            if feature_gradient is not None:
                dist.all_reduce(feature_gradient, group=part.group)
        enter("forward")
    del run, chain, logits, features
    if trunk_output is not None and feature_gradient is not None:
        torch.autograd.backward(trunk_output, feature_gradient)
    return loss


class _Incoming:
    """The last logits of the rank before, asked for as soon as the trunk has run.

    So they can arrive while this rank does what does not need them.
    """

    def __init__(self, part: RankPart, features: Tensor) -> None:
        self._part = part
        if part.rank > 0:
            self._logits = features.new_empty(len(features), part.network.classes, dtype=belief_dtype(features))
            with part.talking("before its belief came"):
                self._work = part.begin_receive(self._logits, part.rank - 1)

    def logits(self) -> Tensor | None:
        """The logits, ``[B, C]``; None on the first rank."""
        if self._part.rank == 0:
            return None
        enter("wait")
        with self._part.talking("before its belief came"):
            self._work.wait()
        return self._logits


def _hand_on(part: RankPart, logits: Tensor) -> list[dist.Work]:
    """Starts to send ``logits`` to the next rank, if there is one."""
    if part.rank == part.ranks - 1:
        return []
    with part.talking("to which it handed its belief on"):
        return [part.begin_send(logits, part.rank + 1)]


class _Modules(Protocol):
    """This rank's modules: all forward, then all backward, the last first, whose activations are nearest at hand."""

    def forward(self, chain: BeliefChain) -> Tensor:
        """Walks ``chain`` over the modules; returns the last logits, ``[B, C]``, contiguous."""

    def backward(self) -> Tensor | None:
        """Adds to ``.grad``; returns the gradient in the features, ``[B, d]``, or None."""


class _ClosedForm:
    """Local modules without a graph; see :mod:`sid_core.steps.closed_form`."""

    def __init__(self, part: RankPart, features: Tensor, wants_feature_gradient: bool) -> None:
        self._classes = part.network.classes
        self._wants_feature_gradient = wants_feature_gradient
        self._features = features
        linears: list[list[nn.Linear]] = [list(module.mlp)[::2] for module in part.network.local_modules]  # type: ignore[arg-type]
        self._modules = list(enumerate(linears, part.first + 1))
        self._shares: list[Tensor] = []
        self._done: list[tuple[int, list[nn.Linear], Tensor, list[Tensor], Tensor]] = []
        if part.rank > 0:  # while the belief is on its way
            for number, (first, *_) in self._modules:
                enter("forward", number)
                feature_weight = first.weight[:, self._classes :]
                self._shares.append(torch.addmm(first.bias, features, feature_weight.t()))
            self._shares.reverse()  # taken from the end

    def forward(self, chain: BeliefChain) -> Tensor:
        self._stacked = input_of_modules(chain.belief, self._features)
        for number, linears in self._modules:
            enter("forward", number)
            belief = chain.belief
            activations = [self._first_layer(linears[0], belief).relu_()]
            for linear in linears[1:-1]:
                activations.append(F.linear(activations[-1], linear.weight, linear.bias).relu_())
            logits = F.linear(activations[-1], linears[-1].weight, linears[-1].bias)
            logits = logits.to(belief_dtype(logits))
            self._done.append((number, linears, belief, activations, chain.advance(logits)))
        return logits

    def backward(self) -> Tensor | None:
        feature_gradient: Tensor | None = None
        classes = self._classes if self._wants_feature_gradient else None
        while self._done:
            number, linears, belief, activations, gradient = self._done.pop()
            enter("backward", number)
            self._stacked[:, : self._classes] = belief
            activations.insert(0, self._stacked)
            feature_gradient = run_backward(linears, activations, [gradient], feature_gradient, classes)
        return feature_gradient

    def _first_layer(self, linear: nn.Linear, belief: Tensor) -> Tensor:
        if self._shares:
            share = self._shares.pop()
            return add_product(share, belief, linear.weight[:, : self._classes].t(), share.dtype)
        self._stacked[:, : self._classes] = belief
        return F.linear(self._stacked, linear.weight, linear.bias)


class _ByAutograd:
    """Modules of any kind, a graph each."""

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
        if self._features.requires_grad and self._features.grad is None:  # other ranks wait for this rank's share
            return torch.zeros_like(self._features)
        return self._features.grad
