"""The history of the project: asv's benchmarks, which commits are measured, and a picture of what was found."""
