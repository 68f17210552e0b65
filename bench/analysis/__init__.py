"""Numbers out of records: pairs, ratios, intervals, bounds. Measures nothing and draws nothing."""
