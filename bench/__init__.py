"""sid-bench: measures training rules that avoid global backpropagation, compared with backpropagation.

Data flows one way through the subpackages: ``config`` (a suite becomes cells) -> ``execute`` (one process per cell) ->
``train`` (networks, data, training steps) and ``measure`` (the passes) -> ``store`` (JSON Lines) -> ``analysis``
(statistics) -> ``report`` (tables, figures, one page). ``plan`` predicts the memory pass without running it.
"""

import os

# torch's profiler otherwise prints its stages to the terminal, and prints an error when a CUDA build finds no GPU. The
# variable is read when torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
