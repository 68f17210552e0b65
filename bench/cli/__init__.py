"""The command line: ``sid-bench run | repeat | plan | fit | check | trace | report | ...``."""

from bench.machine.search_path import leave_out_current_folder


def main() -> None:
    """The entry point of ``sid-bench``."""
    leave_out_current_folder()  # before any library is imported
    from bench.cli.app import run_app

    run_app()
