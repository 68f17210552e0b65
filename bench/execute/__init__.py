"""Runs cells: one process per cell, its limits, and what becomes of it."""
