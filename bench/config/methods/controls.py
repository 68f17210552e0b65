"""Controls for gains under label noise: rules that train by backpropagation with another loss, in rows.

A gain of SID under label noise may come from a part of it that simpler rules have, too, or be less than that of a loss
that was made for wrong labels.
"""

from bench.config.methods.method import Method
from bench.config.methods.refusals import one_alpha

ROWS = (
    Method(
        name="bp-label-smoothing",
        summary="backpropagation with label smoothing 1 - alpha: a control for gains under label noise",
        rule="bench.train.rules.bp:train_on_smoothed_labels",
        uses_alpha=True,
        refusal=one_alpha,
        colour="#c28600",
        order=9,
    ),
    Method(
        name="bp-bootstrap",
        summary="backpropagation on alpha * label + (1 - alpha) * prediction (Reed et al., arXiv 1412.6596): a control",
        rule="bench.train.rules.bp:train_on_bootstrapped_labels",
        uses_alpha=True,
        refusal=one_alpha,
        colour="#882255",
        order=10,
    ),
    Method(
        name="bp-gce",
        summary="backpropagation of generalised cross-entropy, q = 0.7 (arXiv 1805.07836): a control for label noise",
        rule="bench.train.rules.bp:train_on_generalised_cross_entropy",
        colour="#999933",
        order=11,
    ),
    Method(
        name="deep-supervision",
        summary="cross-entropy at every module, end to end (Lee et al., arXiv 1409.5185): a control for label noise",
        rule="bench.train.rules.bp:train_on_every_module",
        colour="#009e73",
        order=12,
    ),
    Method(
        name="bp-sce",
        summary="backpropagation of symmetric cross-entropy (SCE, arXiv 1908.06112): a control for label noise",
        rule="bench.train.rules.bp_sce:train_on_symmetric_cross_entropy",
        colour="#b0577f",
        order=36,
    ),
    Method(
        name="bp-forward-true",
        summary="bp through the true matrix of the noise (forward correction, arXiv 1609.03683): a control",
        rule="bench.train.rules.bp_forward_correction:train_with_forward_correction",
        auxiliary="bench.train.rules.bp_forward_correction:true_transition",
        colour="#3f7d94",
        order=37,
    ),
    Method(
        name="bp-forward-estimated",
        summary="the same through a matrix that a first network, trained by bp for as many epochs, gives: a control",
        rule="bench.train.rules.bp_forward_correction:train_with_forward_correction",
        auxiliary="bench.train.rules.bp_forward_correction:no_transition",
        learn_from_bp="bench.train.rules.bp_forward_correction:take_estimate",
        colour="#6d78c9",
        order=38,
    ),
    Method(
        name="bp-elr",
        summary="bp that is drawn to a moving average of each image's predictions (ELR, arXiv 2007.00151): a control",
        rule="bench.train.rules.bp_elr:train_with_early_learning",
        auxiliary="bench.train.rules.bp_elr:targets_of",
        uses_indices=True,
        state_by_sample=True,
        colour="#2e8b57",
        order=39,
    ),
)
