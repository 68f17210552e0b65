"""The claims that README and the findings give verdicts on, by section, each with the suites that it is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ClaimGroup:
    """The claims of a section of the findings.

    Attributes:
        suites: whose records decide, together.
        names: of the claims, in order.
        in_readme: README gives the verdicts as well.
    """

    suites: Sequence[str]
    names: Sequence[str]
    in_readme: bool = True


_COSTS = ("default", "default-cuda", "modes", "memory", "backbones", "rivals", "gpu224", "photographs", "peers")

CLAIM_GROUPS = MappingProxyType(
    {
        "memory": ClaimGroup(
            _COSTS,
            (
                "memory-as-published",
                "memory-streamed",
                "memory-pipelines",
                "memory-against-checkpointing",
                "memory-in-total",
                "scalable-memory",
            ),
        ),
        "micro-batches": ClaimGroup(("rivals",), ("memory-against-micro-batches",)),
        "time": ClaimGroup(
            _COSTS,
            ("time-as-published", "time-streamed", "time-by-autograd"),
        ),
        "compiled": ClaimGroup(("rivals",), ("compiled-time", "compiled-time-against-compiled")),
        "ranks": ClaimGroup(
            ("modes", "parallel"), ("update-locking-as-published", "update-locking", "parallel-training")
        ),
        "accuracy": ClaimGroup(
            ("default", "noise", "peers", "photographs", "rule-or-head", "study", "human-noise"),
            ("matches-bp", "beats-bp", "monotone-divergence", "monotone-accuracy"),
        ),
        "depth": ClaimGroup(("study",), ("monotone-depth", "scalable-accuracy")),
        "noise": ClaimGroup(("default", "noise", "noise-pipeline", "study"), ("robust-to-noise",)),
        "human": ClaimGroup(("human-noise", "photographs"), ("robust-to-labels-of-people",)),
        "predictions": ClaimGroup(("default",), ("unchanged-inference-bytes", "unchanged-inference-time")),
        "heads": ClaimGroup(
            ("rule-or-head",), ("rule-not-heads", "heads-not-rule", "beliefs-as-inputs", "plain-heads")
        ),
        "peers": ClaimGroup(
            ("peers",),
            (
                "sid-target-memory",
                "infopro-memory",
                "infopro-time",
                "auglocal-memory",
                "mono-forward-memory",
                "noprop-memory",
                "dgl-accuracy",
                "predsim-accuracy",
                "infopro-accuracy",
                "auglocal-accuracy",
                "noprop-accuracy",
                "dfa-accuracy",
            ),
            in_readme=False,
        ),
    }
)
