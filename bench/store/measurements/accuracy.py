"""Accuracies and beliefs of a training run."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from bench.store.correct import Correct
from bench.store.measurements.base import Frozen, Share, require_one_length


class Epoch(Frozen):
    """Results after one epoch: mean training loss (nats), accuracies, and KL(p_y || p_i) per module on the test set.

    ``validation`` is measured on labels with the noise of the training labels, and is None where it was not measured:
    records of schemas 1 to 3 hold only ``validation_clean``, on clean labels.
    """

    train_loss: float | None
    validation: Share | None
    validation_clean: Share
    test: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]


class Beliefs(Frozen):
    """What the beliefs of a trained network are like on the test set with clean labels: columns with a value by module.

    Values are None for a module that the rule does not train. Those that are computed from probabilities are also None
    where training diverged.

    Attributes:
        calibration_error: the expected calibration error with 15 bins of equal width (Guo et al., arXiv 1706.04599).
        changed_share: the fraction of images for which the module predicts another class than the module before; None
            for the first.
        descent_violated_share: the fraction of images with ``KL(p_y || p_i) > (1 - alpha) * KL(p_y || p_{i-1})``. The
            optimum of SID's local objective never has it. None for a rule without that objective, and in direction
            ``reverse``. With alpha 1 the bound is 0, which no belief reaches.
        descent_excess: the mean over all images of what exceeds that bound, in nats; None likewise.
    """

    calibration_error: list[Share | None]
    changed_share: list[Share | None]
    descent_violated_share: list[Share | None]
    descent_excess: list[Annotated[float, Field(ge=0)] | None]

    @model_validator(mode="after")
    def _has_a_value_per_module(self) -> Self:
        require_one_length(vars(self))
        return self


class WrongLabels(Frozen):
    """What a trained network predicts for the training images whose label is wrong; the fractions sum to 1.

    Attributes:
        images: their number.
        learned_share: the fraction for which it predicts the wrong label.
        corrected_share: the true label.
        other_share: another one.
    """

    images: Annotated[int, Field(ge=1)]
    learned_share: Share
    corrected_share: Share
    other_share: Share


class Accuracy(Frozen):
    """Fractions of correct predictions; of test images, on clean labels.

    Values per module are None for a module that the rule does not train. Values that records of schemas 1 to 3 lack are
    None in them. In a record without label noise, noisy and clean validation labels are the same.

    Attributes:
        test_last: after the last epoch.
        test_mean_last10: the mean over the last ten epochs, or over all if there are fewer.
        test_at_best_validation: after the epoch with the highest ``validation``, the first of equals. Its labels are as
            noisy as those of training, so a practitioner can choose this epoch.
        test_at_best_clean_validation: the same by ``validation_clean``, whose labels a practitioner does not have.
        test_best_optimistic: the highest of all epochs; the only value for which the test set selects anything.
        validation_last: after the last epoch, on labels with the noise of the training labels.
        validation_clean_last: the same on clean labels.
        test_by_module: after the last epoch, by module.
        kl_by_module: KL(p_y || p_i) on the test set in nats, after the last epoch, by module.
        realised_noise_rate: the fraction of training labels that are wrong.
        realised_validation_noise_rate: the fraction of noisy validation labels that are wrong.
        diverged: a loss or a divergence is not finite.
        correct_last: which test images were predicted correctly after the last epoch.
        correct_at_best_validation: the same after the epoch of ``test_at_best_validation``.
        epochs: the results after each epoch.
        beliefs_last: after the last epoch. This and the next three are None in records from before they were measured.
        beliefs_at_best_validation: after the epoch of ``test_at_best_validation``.
        wrong_labels_last: after the last epoch; None if no training label is wrong.
        wrong_labels_at_best_validation: likewise after the epoch of ``test_at_best_validation``.
        first_epochs: the epochs for which BP has trained another network before, from which the rule has learned; None
            for a rule that trains one network only, and in records from before there were others.
    """

    test_last: Share
    test_mean_last10: Share
    test_at_best_validation: Share | None
    test_at_best_clean_validation: Share
    test_best_optimistic: Share
    validation_last: Share | None
    validation_clean_last: Share
    test_by_module: list[Share | None]
    kl_by_module: list[float | None]
    realised_noise_rate: Share
    realised_validation_noise_rate: Share | None
    diverged: bool
    correct_last: Correct | None
    correct_at_best_validation: Correct | None
    epochs: Annotated[list[Epoch], Field(min_length=1)]
    beliefs_last: Beliefs | None = None
    beliefs_at_best_validation: Beliefs | None = None
    wrong_labels_last: WrongLabels | None = None
    wrong_labels_at_best_validation: WrongLabels | None = None
    first_epochs: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _counts_what_its_bits_say(self) -> Self:
        for when in ("last", "at_best_validation"):
            correct: Correct | None = getattr(self, f"correct_{when}")
            share: float | None = getattr(self, f"test_{when}")
            if correct is None:
                continue
            held = correct.share
            if share is None or not math.isclose(share, held, abs_tol=1e-9):
                raise ValueError(f"test_{when} = {share}, and correct_{when} holds {held}; legal: equal numbers")
        return self
