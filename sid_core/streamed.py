"""The SID step module by module: ``published``'s gradients, one module's activations at a time, no second forward."""

import torch
from torch import Tensor, nn

from sid_core.closed_form import closed_form_module_step, has_closed_form
from sid_core.network import Cascade
from sid_core.objective import Alpha, alpha_per_module, one_hot, refine


def streamed_step(
    network: Cascade, images: Tensor, labels: Tensor, alpha: Alpha, *, closed_form: bool = True
) -> Tensor:
    """One SID step (arXiv 2510.03273) that frees each module before the next: accumulates gradients into ``.grad``.

    Two facts make it exact. The parameters do not change within a step, so the belief that module ``i + 1`` needs is
    the one that module ``i`` has just computed: no teacher pass. And the gradient in the logits has a closed form (see
    :func:`sid_core.logit_gradient`), so no loss graph is built. The gradient of the features gathers in a leaf, and
    the trunk is run backward once, at the end. A module with dropout draws one mask here, two in ``published``.

    Args:
        network: the cascade; its training mode is left as it is.
        images: ``[B, ...]``, what the trunk takes.
        labels: ``[B]``, int64 in [0, C).
        alpha: the weight of the label, in (0, 1], a number or one a module.
        closed_form: run a :class:`sid_core.LocalModule` backward without an autograd graph, which is faster and
            leaner; other modules go through autograd in any case. False sends all of them through autograd.

    Returns:
        The loss of the step: the local losses summed over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``alpha`` is not legal, or there is not one label an image.
    """
    alphas = alpha_per_module(alpha, len(network.local_modules))
    with torch.enable_grad():
        features = network.trunk(images)
    leaf = features.detach().requires_grad_(features.requires_grad)
    with torch.no_grad():
        belief = network.initial_belief(leaf)
        log_belief = belief.log()
        label_belief = one_hot(labels, belief)
        loss = belief.new_zeros(())
        for module, weight in zip(network.local_modules, alphas, strict=True):
            step = closed_form_module_step if closed_form and has_closed_form(module) else _module_step
            belief, log_belief = step(module, leaf, belief, log_belief, label_belief, weight, loss)
    if leaf.grad is not None:
        features.backward(leaf.grad)
    return loss.div_(belief.shape[0])


def _module_step(
    module: nn.Module,
    features: Tensor,
    belief: Tensor,
    log_belief: Tensor,
    label_belief: Tensor,
    alpha: float,
    loss: Tensor,
) -> tuple[Tensor, Tensor]:
    """Forward and backward of any module; adds ``B * L_i`` to ``loss`` in place and returns ``p_i`` and its logarithm.

    A function of its own, so that all that it holds is freed on return.
    """
    with torch.enable_grad():
        logits = module(belief, features)
    belief, log_belief, gradient = refine(logits.detach(), belief, log_belief, label_belief, alpha, loss)
    if logits.requires_grad:
        logits.backward(gradient)
    return belief, log_belief
