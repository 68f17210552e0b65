"""The command line: ``sid-bench run | plan | report | doctor | list``."""

from bench.cli.app import main as main
