"""Synergistic Information Distillation (arXiv 2510.03273): the network, its local objective, its steps.

Read in this order:

- :mod:`sid_core.objective`: the equations.
- :mod:`sid_core.network` and :mod:`sid_core.pipeline`: the two layouts, a cascade on a shared trunk and a backbone
  divided into stages.
- :mod:`sid_core.steps.published`: the step as in the paper.
- :mod:`sid_core.steps.streamed` and :mod:`sid_core.steps.vectorised`: the same step, cheaper.
- :mod:`sid_core.steps.recompute`: any step with fewer activations and more computation.
- :mod:`sid_core.ranks`: the step over several processes.

:mod:`sid_core.phases` tells a profiler which part of a step runs.
"""

from sid_core.network import BeliefNetwork as BeliefNetwork
from sid_core.network import Cascade as Cascade
from sid_core.network import LocalModule as LocalModule
from sid_core.network import cascade as cascade
from sid_core.network import convolutional_trunk as convolutional_trunk
from sid_core.network import linear_trunk as linear_trunk
from sid_core.objective import Objective as Objective
from sid_core.objective import alpha_per_module as alpha_per_module
from sid_core.objective import local_loss as local_loss
from sid_core.objective import logit_gradient as logit_gradient
from sid_core.objective import target_belief as target_belief
from sid_core.objective import uniform_belief as uniform_belief
from sid_core.pipeline import Pipeline as Pipeline
from sid_core.ranks.parallel import parallel_step as parallel_step
from sid_core.ranks.part import RankLostError as RankLostError
from sid_core.ranks.part import RankPart as RankPart
from sid_core.ranks.part import gather_parameters as gather_parameters
from sid_core.ranks.part import rank_part as rank_part
from sid_core.ranks.partition import ModuleCost as ModuleCost
from sid_core.ranks.partition import balanced_sizes as balanced_sizes
from sid_core.ranks.partition import fastest_sizes as fastest_sizes
from sid_core.ranks.partition import least_ratio as least_ratio
from sid_core.ranks.partition import module_cost as module_cost
from sid_core.ranks.partition import step_time as step_time
from sid_core.ranks.pipelined import pipelined_steps as pipelined_steps
from sid_core.steps.published import published_step as published_step
from sid_core.steps.recompute import recomputed as recomputed
from sid_core.steps.streamed import streamed_step as streamed_step
from sid_core.steps.vectorised import vectorised_step as vectorised_step
