"""Estimates with intervals, verdicts of comparisons, and claims: pure functions of arrays, which know no records."""
