"""Whether a batch fits a memory budget, under which rule and setting, and how far such predictions were off.

Data flows from ``candidates`` (a network becomes the cells to plan) through ``shipped`` (what was measured before),
``errors`` (measured bytes against the prediction of the same cell) and ``allowance`` (what a GPU needs besides) to
``fitting`` (a row per rule and setting), and from there to ``document`` and ``figure``.
"""
