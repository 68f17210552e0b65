"""Tables of whole frames, for tests."""

import pandas as pd

from bench.analysis.trained import trained_methods
from bench.report.tables.accuracy import table_of_trained
from bench.report.tables.cells import in_order


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :func:`bench.report.tables.accuracy.table_of_trained` for all runs of ``frame``."""
    return table_of_trained(trained_methods(in_order(frame)))
