"""``python -m bench.cli`` is ``sid-bench``."""

from bench.cli.app import main

main()
