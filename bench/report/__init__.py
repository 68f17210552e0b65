"""Renders records as one HTML page: ``tables`` and ``figures`` turn rows into content, ``page`` assembles it.

The report neither measures nor imputes: a value that no record holds is shown as not measured.
"""

from bench.report.page import write_report as write_report
