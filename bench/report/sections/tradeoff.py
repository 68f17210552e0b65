"""The section ``tradeoff``."""

from typing import Any

from bench.report.inputs import Inputs


def tradeoff(inputs: Inputs) -> Any | None:
    """Return the content of the section; None if the records have nothing for it."""
    return None
