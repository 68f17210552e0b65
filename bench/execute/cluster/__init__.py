"""Sweeps on a cluster: cells are divided into tasks, each measures its own on a node, and their records are merged."""
