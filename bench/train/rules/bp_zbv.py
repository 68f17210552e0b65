"""Backpropagation on several ranks by ZBV (arXiv 2401.10241), with two stages a rank, there and back."""

from bench.config.catalog import PIPELINES
from bench.train.ranks.scheduled import MICRO_BATCHES, rule_by

SUMMARY = "backpropagation on several ranks, zero bubble V: as 1P, with first and last stage on one rank"
USES_ALPHA = False
ON_ONE_RANK = "bp"
NETWORKS = PIPELINES
SETTINGS = MICRO_BATCHES

refusal, on_ranks = rule_by("ZBVZeroBubble")
