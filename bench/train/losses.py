"""What a training rule returns: a loss, as the passes need it."""

from torch import Tensor

from bench.errors import ConfigError

_LEGAL = "legal: the loss, a tensor of shape []"


def loss_of_rule(returned: object) -> Tensor:
    """The loss that a rule has ``returned``, without its graph, which would hold activations after the step.

    Raises:
        ConfigError: it is not a tensor of shape ``[]``.
    """
    if not isinstance(returned, Tensor):
        what = "None" if returned is None else f"{str(returned)[:40]!r}, of type {type(returned).__name__}"
        raise ConfigError(f"the rule returns {what}; {_LEGAL}")
    if returned.dim():
        raise ConfigError(f"the rule returns a tensor of shape {list(returned.shape)}; {_LEGAL}")
    return returned.detach() if returned.requires_grad else returned
