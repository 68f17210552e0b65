"""What is measured: axes, cells, suites, and the names of methods, networks and data sets. Loads no torch."""
