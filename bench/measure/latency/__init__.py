"""The latency pass: interleaved steps, and how a step divides into phases."""
