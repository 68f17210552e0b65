"""What a GPU needs beyond the tensors that a plan counts: CUDA's context, and workspaces inside operators."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench.analysis.measured import Kind, Measured
from bench.plan.fit.errors import PredictionError

_PARTS = 1_000_000  # shares are kept in parts of a million, so that bytes are exact


@dataclass(frozen=True)
class Allowance:
    """What is added to a prediction before it is compared with the budget; nothing on the CPU.

    Attributes:
        kind: the kind of device.
        context_bytes: CUDA's context and libraries: the most that was measured.
        context_cells: the cells on which that was measured; 0 where it was not.
        usual_share: what is added for workspaces to a rule that was not measured, or not with the settings that are
            planned, as a share of the prediction.
    """

    kind: Kind
    context_bytes: int = 0
    context_cells: int = 0
    usual_share: float = 0.0

    def share(self, error: PredictionError | None) -> float:
        """Return the share of the prediction that is added for workspaces, given the error of the rule.

        The error of other settings says nothing of these: checkpoints, for example, have workspaces of their own.
        """
        if self.kind == "cpu":
            return 0.0
        return self.usual_share if error is None or error.settings else max(0.0, error.share)

    def needed(self, predicted_bytes: int, error: PredictionError | None) -> int:
        """Return the bytes that a step needs, context and workspaces included."""
        return -(-predicted_bytes * self._parts(error) // _PARTS) + self.context_bytes

    def limit(self, budget: int, error: PredictionError | None) -> int:
        """Return the largest prediction whose step needs at most ``budget`` bytes; below 0 where none can be."""
        return (budget - self.context_bytes) * _PARTS // self._parts(error)

    def _parts(self, error: PredictionError | None) -> int:
        return _PARTS + math.ceil(self.share(error) * _PARTS)


def allowance_of(kind: Kind, measured: Iterable[Measured], errors: Iterable[PredictionError | None]) -> Allowance:
    """Return the allowance that measurements on devices of ``kind`` give: of each part the most that was measured.

    Args:
        kind: the kind of device.
        measured: for the context.
        errors: of the rules that are planned, for the workspaces.
    """
    if kind == "cpu":
        return Allowance(kind)
    contexts = [one.context_bytes for one in measured if one.context_bytes is not None]
    shares = [error.share for error in errors if error is not None]
    return Allowance(kind, max(contexts, default=0), len(contexts), max([0.0, *shares]))
