"""Every classification model of torchvision, untrained and by torchvision's name, as a chain of units and a head.

A pipeline is cut between units, and a trunk runs them all. Heads along the way take means over pixels or tokens
(:func:`sid_core.pipeline.pool`); the model's own head follows the last unit.
"""

from bench.train.networks.torchvision_models.family import Shape
from bench.train.networks.torchvision_models.models import build_model, parts_of, units_of, usual_head

__all__ = ["Shape", "build_model", "parts_of", "units_of", "usual_head"]
