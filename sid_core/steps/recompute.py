"""Networks that hold fewer activations and compute the others again in the backward pass.

A training rule runs on the view that :func:`recomputed` returns as it runs on the network itself.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from sid_core.network import BeliefNetwork
from sid_core.pipeline import PipelineModule, run_head
from sid_core.steps.closed_form import has_closed_form, is_hooked
from sid_core.steps.segments import blocks_of, segments_of

# Products of matrices and convolutions: what takes most of the time to compute.
_PRODUCTS = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten.bmm.default,
        torch.ops.aten.baddbmm.default,
        torch.ops.aten.convolution.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    }
)
# Applied twice they give what they give once, so the output of a product that they have written into can be held.
_IDEMPOTENT = frozenset({torch.ops.aten.relu_.default, torch.ops.aten.hardtanh_.default})


def recomputed(
    network: BeliefNetwork, *, trunk: bool = False, modules: bool = False, hold_products: bool = False
) -> BeliefNetwork:
    """Returns a view of ``network`` whose backward pass computes activations again instead of holding them.

    The view has the class of ``network`` and shares its parameters and buffers, under the same names. Every training
    rule gives the same gradients on both. The second run draws the random numbers of the first, finds buffers as the
    first run found them, and leaves them alone: BatchNorm updates its running statistics once. What needs no gradient
    runs once.

    Args:
        network: is not changed. A part that is exchanged later is exchanged in ``network`` only. A part that is
            compiled (before the call) stays compiled, and is recomputed as a whole.
        trunk: run the trunk in segments (:func:`sid_core.steps.segments.segments_of`) and hold what goes into each. A
            trunk without parameters stays as it is.
        modules: hold what goes into each module. In a pipeline hold what goes into each block, that is each child of a
            stage, and into each head. Otherwise the view has the ``local_modules`` of ``network``.
        hold_products: of the modules also hold the outputs of products of matrices, convolutions and attention, and
            recompute only the operators between them, which are cheap (selective checkpointing).

    Raises:
        ValueError: raised by the view, if a part that is to run again writes into its input, or into the output of a
            product that is held.
    """
    view = copy.copy(network)
    view._modules = dict(network._modules)  # a shallow copy of a module shares the dictionary of its submodules
    if trunk:
        view.trunk = recomputed_trunk(network.trunk)
    if modules:
        view.local_modules = nn.ModuleList(
            _recomputed_module(module, hold_products) for module in network.local_modules
        )
    return view


def recomputed_trunk(trunk: nn.Module) -> nn.Module:
    """Returns ``trunk`` as a module that is recomputed segment by segment; itself if it has no parameters."""
    has_parameters = next(trunk.parameters(), None) is not None
    return Recomputed(trunk, segments_of) if has_parameters and not isinstance(trunk, Recomputed) else trunk


def _recomputed_module(module: nn.Module, hold_products: bool) -> nn.Module:
    if isinstance(module, Recomputed | RecomputedStage):
        return module
    if type(module) is PipelineModule:
        return RecomputedStage(module, hold_products)
    return Recomputed(module, _whole, hold_products)


def _whole(module: nn.Module) -> list[nn.Module]:
    return [module]


class Recomputed(nn.Module):
    """A module that is run in checkpoints, with the submodules, parameters and buffers of that module as its own.

    Args:
        module: is run, and keeps its hooks and its training mode. Attributes that are not found here are read from it.
        cut: gives the parts of ``module`` that have a checkpoint each; the first takes the inputs of ``module``, any
            other the output of the one before.
        hold_products: as for :func:`recomputed`.
    """

    def __init__(
        self, module: nn.Module, cut: Callable[[nn.Module], list[nn.Module]], hold_products: bool = False
    ) -> None:
        super().__init__()
        _share_state(self, module)
        self._original = (module,)  # in a tuple: as a submodule it would give all names a prefix
        self._cut = cut
        self._hold_products = hold_products

    def forward(self, *inputs: Any) -> Any:
        """The output of the module."""
        first, *others = self._cut(self._original[0])
        hold = self._hold_products
        return run_in_segments(others, _run_checkpointed(first, first, *inputs, hold_products=hold), hold)

    def train(self, mode: bool = True) -> "Recomputed":
        """Sets the training mode of the module."""
        self._original[0].train(mode)
        return super().train(mode)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "_original" not in self.__dict__:
                raise
            return getattr(self._original[0], name)


class RecomputedStage(PipelineModule):
    """A module of a pipeline with a checkpoint for each block of its stage, and one for pooling and head together.

    Where something is attached to the module as a whole (a hook, compiled code), the whole module has one checkpoint.

    Args:
        module: the stage and its head.
        hold_products: as for :func:`recomputed`.
    """

    def __init__(self, module: PipelineModule, hold_products: bool = False) -> None:
        super().__init__(
            Recomputed(module.stage, blocks_of, hold_products), Recomputed(module.head, _whole, hold_products)
        )
        self._original = (module,)
        self._hold_products = hold_products

    def forward(self, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The head's logits, ``[B, C]``, and the stage's features."""
        (module,) = self._original
        hold = self._hold_products
        if is_hooked(module):
            outputs: tuple[Tensor, Tensor] = _run_checkpointed(module, module, belief, features, hold_products=hold)
            return outputs
        features = self.stage(features)
        logits = _run_checkpointed(run_head, module.head, module.head, belief, features, hold_products=hold)
        return logits, features

    def train(self, mode: bool = True) -> "RecomputedStage":
        """Sets the training mode of the module."""
        self._original[0].train(mode)
        return super().train(mode)


def run_in_segments(segments: Iterable[nn.Module], inputs: Any, hold_products: bool = False) -> Any:
    """Runs ``segments`` one after the other, holding what goes into each and nothing in between.

    The backward pass runs one segment at a time again, and holds its activations meanwhile.

    Args:
        segments: each takes the output of the one before; see :func:`recomputed` for what happens to random numbers
            and buffers.
        inputs: of the first, ``[B, ...]``.
        hold_products: as for :func:`recomputed`.

    Raises:
        ValueError: a segment writes into its input.
    """
    for segment in segments:
        inputs = _run_checkpointed(segment, segment, inputs, hold_products=hold_products)
    return inputs


def _run_checkpointed(run: Callable[..., Any], owner: nn.Module, *inputs: Any, hold_products: bool = False) -> Any:
    """``run(*inputs)`` in a checkpoint; ``owner`` has the buffers that it changes."""
    if not torch.is_grad_enabled():
        return run(*inputs)
    versions = [value._version if isinstance(value, Tensor) else None for value in inputs]
    outputs = checkpoint(
        run,
        *inputs,
        use_reentrant=False,
        # Saving the generator's state takes 5 kB per checkpoint, and a plain local module draws no random numbers.
        preserve_rng_state=not has_closed_form(owner),
        context_fn=partial(_contexts, owner, hold_products),
    )
    for value, version in zip(inputs, versions, strict=True):
        if isinstance(value, Tensor) and value._version != version and _requires_grad(outputs):
            raise ValueError(
                f"a {type(owner).__name__} writes into its input and so cannot run on it again; legal: trunks, stages "
                "and modules to recompute that leave their inputs as they are"
            )
    return outputs


def _requires_grad(outputs: Any) -> bool:
    return any(isinstance(value, Tensor) and value.requires_grad for value in _as_tuple(outputs))


def _as_tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _contexts(owner: nn.Module, hold_products: bool) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Returns the contexts of the first run and of the second."""
    if not hold_products:
        return nullcontext(), _BuffersAsNow(owner)
    hold, use = create_selective_checkpoint_contexts(_HoldProducts(owner), allow_cache_entry_mutation=True)
    return hold, _Both(_BuffersAsNow(owner), use)


class _HoldProducts:
    """A policy of selective checkpointing that holds the outputs of products."""

    def __init__(self, owner: nn.Module) -> None:
        self._owner = owner
        self._held: set[int] = set()  # storages

    def __call__(self, context: Any, operator: Any, *inputs: Any, **_keywords: Any) -> CheckpointPolicy:
        if operator in _PRODUCTS:
            outputs = _as_tuple(context.op_output)
            self._held |= {value.untyped_storage()._cdata for value in outputs if isinstance(value, Tensor)}
            return CheckpointPolicy.MUST_SAVE
        if operator._schema.is_mutable and operator not in _IDEMPOTENT:
            for value, argument in zip(inputs, operator._schema.arguments, strict=False):
                is_written = argument.alias_info is not None and argument.alias_info.is_write
                if is_written and isinstance(value, Tensor) and value.untyped_storage()._cdata in self._held:
                    raise ValueError(
                        f"in a {type(self._owner).__name__}, {operator.name()} writes into the output of a product "
                        "that is held to run the module again; legal: ReLU and ReLU6 in place, and layers that leave "
                        "their inputs as they are"
                    )
        return CheckpointPolicy.PREFER_RECOMPUTE


class _Both:
    """Two contexts in one; it can be entered again."""

    def __init__(self, outer: AbstractContextManager[Any], inner: AbstractContextManager[Any]) -> None:
        self._contexts = outer, inner

    def __enter__(self) -> None:
        with ExitStack() as stack:
            for context in self._contexts:
                stack.enter_context(context)
            self._stack = stack.pop_all()

    def __exit__(self, *exception: Any) -> bool | None:
        return self._stack.__exit__(*exception)


class _BuffersAsNow:
    """A context in which the buffers of ``module`` have the contents that they had when it was made.

    They are copies, so that what is done to them in the context is dropped at its end. It can be entered again, for a
    graph that runs backward twice.
    """

    def __init__(self, module: nn.Module) -> None:
        self._places = [(owner._buffers, name) for owner in module.modules() for name in owner._buffers]
        self._contents = _copies([buffers[name] for buffers, name in self._places])

    def __enter__(self) -> None:
        self._own = [buffers[name] for buffers, name in self._places]
        self._put(_copies(self._contents))

    def __exit__(self, *_exception: object) -> None:
        self._put(self._own)

    def _put(self, tensors: Iterable[Tensor | None]) -> None:
        for (buffers, name), tensor in zip(self._places, tensors, strict=True):
            buffers[name] = tensor


def _copies(tensors: Iterable[Tensor | None]) -> list[Tensor | None]:
    """Copies of ``tensors``; one that occurs more than once has one copy."""
    tensors = list(tensors)
    copies = {id(tensor): tensor.detach().clone() for tensor in tensors if tensor is not None}
    return [None if tensor is None else copies[id(tensor)] for tensor in tensors]


def _share_state(view: nn.Module, module: nn.Module) -> None:
    view._parameters, view._buffers, view._modules = module._parameters, module._buffers, module._modules
    view._non_persistent_buffers_set = module._non_persistent_buffers_set
