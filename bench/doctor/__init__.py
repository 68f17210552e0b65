"""Checks of this machine: what makes timings on it unsteady, and what to do about it.

Everything is read, nothing is changed, and no check needs root.
"""

from bench.doctor.check import Check
from bench.doctor.diagnosis import CellWatch, diagnose
from bench.doctor.show import checks_table

__all__ = ["CellWatch", "Check", "checks_table", "diagnose"]
