"""Predicts memory to the byte, and the largest batch that fits a budget, without running a training step.

Data flows from ``grid`` (a sweep becomes the cells that differ in memory) through ``tasks`` (the prediction for one
cell) and ``pool`` (worker processes) to ``rows`` and ``figure``. ``search`` finds the largest batch.
"""
