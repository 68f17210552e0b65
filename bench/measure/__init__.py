"""The three passes over a cell, apart from each other: memory, latency, accuracy."""
