"""Cells on several ranks: their processes, what each does of a step, BP's pipeline schedules, and bounds."""
