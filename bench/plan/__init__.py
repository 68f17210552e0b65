"""Memory grids predicted to the byte, and the largest batch that fits a budget; nothing is run.

The flow: ``grid`` (a sweep becomes the cells that differ in memory) -> ``tasks`` (what is asked of one cell) ->
``pool`` (processes that have torch loaded) -> ``table`` and ``figure``. ``search`` finds a largest batch.
"""
