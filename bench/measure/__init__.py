"""The three passes over a cell, which run separately: memory, latency and accuracy."""
