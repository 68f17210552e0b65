"""Which module computes when, on one rank and on several."""
