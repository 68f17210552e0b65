"""Benchmarks for asv: the cells, steps and instruments of a sweep, tracked over the history of the project."""
