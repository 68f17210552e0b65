"""Accuracies and divergences after training, from the records of one or two methods."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.runs import Run, difference_of, with_images_allowed_for
from bench.analysis.statistics.units import estimate_over
from bench.store.measurements.accuracy import Accuracy

When = Literal["last", "chosen"]
ByModule = list[tuple[int, Outcome]]

_DIVERGENCES_OVER_SEEDS = (
    "over seeds only: records hold no divergences by image, so the interval leaves out other test images"
)


def why_not_trained(when: When, entry: Entry) -> str | None:
    """Return why the accuracy of a record at an epoch cannot be used, or None."""
    accuracy = entry.record.accuracy
    if accuracy is None:
        return "the record holds no accuracy"
    if when == "chosen" and accuracy.test_at_best_validation is None:
        return "the record, of schema 1 to 3, has no epoch that validation with noisy labels chose"
    return None


def compare_accuracies(first: Sequence[Entry], second: Sequence[Entry], when: tuple[When, When]) -> Outcome:
    """Return the accuracy of ``first`` minus that of ``second``, paired by seed and image.

    Args:
        first: 1 or more records of a cell; of several with one seed, one that holds its predictions counts.
        second: the same of the other method.
        when: the epoch of each.
    """
    return _difference(*(_runs(side, epoch) for side, epoch in zip((first, second), when, strict=True)))


def accuracies_by_module(entries: Sequence[Entry]) -> ByModule:
    """Return for each module from the second on its accuracy minus that of the module before it."""
    by_seed = _by_seed(entries)
    modules = min(len(accuracy.test_by_module) for _, accuracy in by_seed.values())
    return [(module, _accuracy_after(by_seed, module)) for module in range(2, modules + 1)]


def divergences_by_module(entries: Sequence[Entry]) -> ByModule:
    """Return for each module from the second on the log of its divergence over ``1 - alpha`` times the one before."""
    by_seed = _by_seed(entries)
    modules = min(len(accuracy.kl_by_module) for _, accuracy in by_seed.values())
    return [(module, _divergence_after(by_seed, module)) for module in range(2, modules + 1)]


_BySeed = dict[int, tuple[Entry, Accuracy]]


def _by_seed(entries: Sequence[Entry]) -> _BySeed:
    """Return a record of each seed: the last one that holds its predictions, else the last one."""
    found: _BySeed = {}
    for entry in entries:
        accuracy = entry.record.accuracy
        if accuracy is not None:
            known = found.get(entry.seed)
            if known is None or known[1].correct_last is None or accuracy.correct_last is not None:
                found[entry.seed] = entry, accuracy
    return found


def _run(entry: Entry, share: float, accuracy: Accuracy, when: When | None) -> Run:
    data = entry.record.data
    correct = {"last": accuracy.correct_last, "chosen": accuracy.correct_at_best_validation, None: None}[when]
    if data is None:
        return Run(share, correct, None, None)
    return Run(share, correct, data.identity, data.test_samples)


def _runs(entries: Sequence[Entry], when: When) -> dict[int, Run]:
    runs = {}
    for seed, (entry, accuracy) in _by_seed(entries).items():
        share = accuracy.test_last if when == "last" else accuracy.test_at_best_validation
        if share is not None:
            runs[seed] = _run(entry, share, accuracy, when)
    return runs


def _difference(first: dict[int, Run], second: dict[int, Run]) -> Outcome:
    """Return a difference whose error covers other seeds and other images."""
    outcome = difference_of(first, second)
    if not isinstance(outcome, Estimate) or outcome.images is not None:
        return outcome
    common = first.keys() & second.keys()
    shares = [sum(side[seed].share for seed in common) / len(common) for side in (first, second)]
    images = min((first[seed].images or 0 for seed in common), default=0)
    return with_images_allowed_for(outcome, (shares[0], shares[1]), images or None)


def _accuracy_after(by_seed: _BySeed, module: int) -> Outcome:
    runs: list[dict[int, Run]] = [{}, {}]
    for seed, (entry, accuracy) in by_seed.items():
        for side, number in zip(runs, (module, module - 1), strict=True):
            share = accuracy.test_by_module[number - 1]
            if share is None:
                return NotMeasured(f"module {number} has no accuracy with seed {seed}")
            side[seed] = _run(entry, share, accuracy, None)
    return _difference(*runs)


def _divergence_after(by_seed: _BySeed, module: int) -> Outcome:
    logs = []
    for seed, (entry, accuracy) in by_seed.items():
        alpha = entry.values["alpha"]
        alpha = dict(enumerate(alpha, 1)).get(module) if isinstance(alpha, tuple) else alpha
        if alpha is None or alpha == 1:
            return NotMeasured(f"alpha is {'unset' if alpha is None else 1}, so no divergence is expected")
        own, before = accuracy.kl_by_module[module - 1], accuracy.kl_by_module[module - 2]
        if not own or not before or min(own, before) <= 0:
            return NotMeasured(f"module {module} or the one before it has no divergence above 0 with seed {seed}")
        logs.append([math.log(own) - math.log((1 - alpha) * before)])
    return replace(estimate_over("seeds", logs), note=_DIVERGENCES_OVER_SEEDS)
