"""Whether the two memory instruments agree: the exact count, and the allocator's without workspaces."""

import pandas as pd

# The largest relative difference that counts as agreement.
DISAGREEMENT_LIMIT = 0.01


def count_disagreements(frame: pd.DataFrame) -> int:
    """Return the number of records in which they differ by more than :data:`DISAGREEMENT_LIMIT`."""
    if "memory.allocator.disagreement" not in frame:
        return 0
    return int((frame["memory.allocator.disagreement"].abs() > DISAGREEMENT_LIMIT).sum())
