"""The command line: ``sid-bench run | repeat | plan | trace | report | claims | compare | gate | doctor | list``."""

from bench.machine.search_path import leave_out_current_folder


def main() -> None:
    """The entry point of ``sid-bench``."""
    leave_out_current_folder()  # before any library is imported
    from bench.cli.app import run_app

    run_app()
