"""The passes over a cell, which run separately: memory, latency, accuracy and inference."""
