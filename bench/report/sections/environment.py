"""The section ``environment``: where the records were made."""

from bench.report.environments import Environments, environments_of
from bench.report.inputs import Inputs


def environment(inputs: Inputs) -> Environments:
    """Return the environments of the records."""
    return environments_of(inputs.records)
