"""Backpropagation on several ranks by GPipe (arXiv 1811.06965): all micro-batches forward, then all back."""

from bench.config.catalog import PIPELINES
from bench.train.ranks.scheduled import MICRO_BATCHES, rule_by

SUMMARY = "backpropagation on several ranks, GPipe: all micro-batches forward, then all backward"
USES_ALPHA = False
ON_ONE_RANK = "bp"
NETWORKS = PIPELINES
SETTINGS = MICRO_BATCHES

refusal, on_ranks = rule_by("GPipe")
