"""Backpropagation on several ranks by 1F1B (arXiv 1806.03377): one micro-batch forward, one back."""

from bench.config.catalog import PIPELINES
from bench.train.ranks.scheduled import MICRO_BATCHES, rule_by

SUMMARY = "backpropagation on several ranks, 1F1B: micro-batches forward and backward in turns"
USES_ALPHA = False
ON_ONE_RANK = "bp"
NETWORKS = PIPELINES
SETTINGS = MICRO_BATCHES

refusal, on_ranks = rule_by("1F1B")
