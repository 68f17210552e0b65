"""Which memory instrument counted bytes, and whether the two agree where both did."""

import pandas as pd

# The largest relative difference that counts as agreement.
DISAGREEMENT_LIMIT = 0.01

# In a cell's ``memory.instrument``: a step that is compiled, into which the exact instrument does not see.
BY_ALLOCATOR = "allocator"


def count_disagreements(frame: pd.DataFrame) -> int:
    """Return the number of records in which they differ by more than :data:`DISAGREEMENT_LIMIT`."""
    if "memory.allocator.disagreement" not in frame:
        return 0
    return int((frame["memory.allocator.disagreement"].abs() > DISAGREEMENT_LIMIT).sum())
