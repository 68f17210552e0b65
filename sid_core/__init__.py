"""Synergistic Information Distillation (arXiv 2510.03273): the network, its local objective, its steps.

Read in this order: :mod:`sid_core.objective` (the equations), :mod:`sid_core.network` (trunk and local modules),
:mod:`sid_core.pipeline` (an ordinary backbone in stages), :mod:`sid_core.published` (the step as the paper writes it),
:mod:`sid_core.chain` (beliefs, loss and gradients of one step, module by module), :mod:`sid_core.streamed` (the same
step, cheaper), :mod:`sid_core.closed_form` (its backward pass, written out),
:mod:`sid_core.update_in_turn` (its updates, a module at a time), :mod:`sid_core.recompute` (its trunk, run twice), and
:mod:`sid_core.vectorised` (many modules at once) with :mod:`sid_core.stacked` (their parameters in one tensor). Over
several processes: :mod:`sid_core.ranks` (who holds what), :mod:`sid_core.dealing` (how many modules each),
:mod:`sid_core.parallel` and :mod:`sid_core.pipelined`.
:mod:`sid_core.phases` serves those who measure.
"""

from sid_core.dealing import ModuleCost as ModuleCost
from sid_core.dealing import balanced_sizes as balanced_sizes
from sid_core.dealing import dealt_sizes as dealt_sizes
from sid_core.dealing import least_ratio as least_ratio
from sid_core.dealing import module_cost as module_cost
from sid_core.dealing import step_time as step_time
from sid_core.network import BeliefNetwork as BeliefNetwork
from sid_core.network import Cascade as Cascade
from sid_core.network import LocalModule as LocalModule
from sid_core.network import cascade as cascade
from sid_core.network import convolutional_trunk as convolutional_trunk
from sid_core.network import linear_trunk as linear_trunk
from sid_core.objective import alpha_per_module as alpha_per_module
from sid_core.objective import local_loss as local_loss
from sid_core.objective import logit_gradient as logit_gradient
from sid_core.objective import target_belief as target_belief
from sid_core.objective import uniform_belief as uniform_belief
from sid_core.parallel import parallel_step as parallel_step
from sid_core.pipeline import Pipeline as Pipeline
from sid_core.pipelined import pipelined_steps as pipelined_steps
from sid_core.published import published_step as published_step
from sid_core.ranks import RankLostError as RankLostError
from sid_core.ranks import RankPart as RankPart
from sid_core.ranks import gather_parameters as gather_parameters
from sid_core.ranks import rank_part as rank_part
from sid_core.streamed import streamed_step as streamed_step
from sid_core.vectorised import vectorised_step as vectorised_step
