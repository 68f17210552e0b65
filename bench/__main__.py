"""``python -m bench`` is ``sid-bench``."""

from bench.cli import main

main()
