"""Statistics computed from records: pairs, ratios, intervals and bounds. Nothing here measures or draws."""
