"""Checks of this machine: what makes timings on it unsteady, and what to do about it.

Everything is read, nothing is changed, and no check needs root.
"""

from bench.machine.doctor.check import Check
from bench.machine.doctor.diagnosis import CellWatch, diagnose
from bench.machine.doctor.show import checks_table

__all__ = ["CellWatch", "Check", "checks_table", "diagnose"]
