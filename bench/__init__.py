"""sid-bench: measures training rules that avoid global backpropagation, compared with backpropagation.

The flow, one folder per stage: ``config`` makes cells from a suite -> ``execute`` runs each cell in processes of its
own, where ``train`` builds the step and ``measure`` runs the passes -> ``store`` keeps the records -> ``analysis`` and
``report`` make tables, figures and one page. ``plan`` predicts the memory pass without running it; ``machine``
describes and checks the machine.
"""

import os

# torch's profiler otherwise prints its stages to the terminal, and prints an error when a CUDA build finds no GPU. The
# variable is read when torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
