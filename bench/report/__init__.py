"""Records to one HTML page: ``frame`` (tidy tables), ``tables``, ``figures``, ``page``.

The report measures nothing and imputes nothing: what no record holds, it calls not measured.
"""

from bench.report.page import write_report as write_report
