"""Loads what a first prediction would load. Importing it takes seconds and never fails.

The fork server of the pool imports it once; the pool's processes find it loaded, and frozen: predictions collect
garbage, which does not visit frozen objects, such as torch's.
"""

import gc
import importlib

from bench.errors import first_line

# torch._dynamo comes with every optimizer step.
_MODULES = ("bench.measure.memory.predict", "torch._dynamo", "torch.utils.checkpoint")

error: str | None = None  # why torch cannot be loaded
try:
    for name in _MODULES:
        importlib.import_module(name)
except Exception as failure:  # a broken installation of torch raises what it likes
    error = first_line(failure)
gc.collect()
gc.freeze()
