"""sid-bench: measures training rules without global backpropagation against backpropagation.

The flow, one stage a file: ``sweep`` (a suite becomes cells) -> ``isolate`` (a process a cell) -> ``worker`` and
``measure`` (the passes) -> ``record`` and ``store`` (JSON Lines) -> ``report`` (tables, figures, one page). ``plan``
foretells the memory pass without running it.
"""

import os

# torch's profiler otherwise writes its stages to the terminal, and an error where a CUDA build finds no GPU. It reads
# this when torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
