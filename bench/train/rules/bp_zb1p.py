"""Backpropagation on several ranks by ZB1P (arXiv 2401.10241), with two stages a rank, in turns."""

from bench.config.catalog import PIPELINES
from bench.train.ranks.scheduled import MICRO_BATCHES, rule_by

SUMMARY = "backpropagation on several ranks, zero bubble 1P: weights' gradients fill the gaps"
USES_ALPHA = False
ON_ONE_RANK = "bp"
NETWORKS = PIPELINES
SETTINGS = MICRO_BATCHES

refusal, on_ranks = rule_by("InterleavedZeroBubble")
