"""``python -m bench.cli`` is ``sid-bench``."""

from bench.cli import main

main()
