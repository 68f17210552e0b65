"""Checks of this machine for what makes timings vary, with advice.

The checks read and change nothing, and need no root.
"""

from bench.machine.doctor.check import Check
from bench.machine.doctor.diagnosis import CellWatch, diagnose
from bench.machine.doctor.show import checks_table

__all__ = ["CellWatch", "Check", "checks_table", "diagnose"]
