"""Label noise: each kind by its definition, seeded, and its realised rate."""

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.config.cell import NoiseKind
from bench.errors import DataError
from bench.train.noise import corrupt_labels

KINDS: list[NoiseKind] = ["symmetric-exclusive", "symmetric-inclusive", "pairflip", "asymmetric"]
SPLITS: tuple[Literal["train", "validation"], ...] = ("train", "validation")
MAP = ((2, 7), (3, 8), (5, 6), (6, 5), (7, 1))


def labels_of(count: int, classes: int) -> torch.Tensor:
    return torch.arange(count) % classes


@given(st.sampled_from(KINDS), st.floats(0, 1), st.integers(0, 2**62), st.integers(2, 20), st.integers(1, 300))
def test_noise_is_seeded_keeps_the_range_and_reports_the_rate(
    kind: NoiseKind, rate: float, seed: int, classes: int, count: int
) -> None:
    labels = labels_of(count, classes)
    class_map = ((0, 1),)
    noisy, realised = corrupt_labels(labels, classes, kind, rate, seed, class_map)
    again, _ = corrupt_labels(labels, classes, kind, rate, seed, class_map)
    assert torch.equal(noisy, again)
    assert noisy.dtype == torch.int64
    assert 0 <= int(noisy.min()) <= int(noisy.max()) < classes
    assert realised == pytest.approx(float((noisy != labels_of(count, classes)).double().mean()))
    assert torch.equal(labels, labels_of(count, classes)), "the true labels were changed in place"


@pytest.mark.parametrize("kind", KINDS)
def test_rate_zero_changes_nothing(kind: NoiseKind) -> None:
    labels = labels_of(1000, 10)
    noisy, realised = corrupt_labels(labels, 10, kind, 0.0, 3, MAP)
    assert torch.equal(noisy, labels)
    assert realised == 0


def test_exclusive_noise_never_keeps_a_drawn_label_and_is_uniform_over_the_others() -> None:
    labels = torch.zeros(90_000, dtype=torch.int64)
    noisy, realised = corrupt_labels(labels, 10, "symmetric-exclusive", 1.0, 0)
    assert realised == 1
    counts = torch.bincount(noisy, minlength=10)
    assert counts[0] == 0
    assert all(abs(int(count) - 10_000) < 500 for count in counts[1:])


def test_inclusive_noise_of_40_percent_makes_36_percent_wrong_on_ten_classes() -> None:
    _, realised = corrupt_labels(labels_of(100_000, 10), 10, "symmetric-inclusive", 0.4, 0)
    assert realised == pytest.approx(0.36, abs=0.005)


def test_pairflip_moves_each_class_to_the_next() -> None:
    labels = labels_of(100, 10)
    noisy, _ = corrupt_labels(labels, 10, "pairflip", 1.0, 0)
    assert torch.equal(noisy, (labels + 1) % 10)


def test_asymmetric_noise_follows_the_map_and_spares_the_other_classes() -> None:
    labels = labels_of(100, 10)
    noisy, realised = corrupt_labels(labels, 10, "asymmetric", 1.0, 0, MAP)
    expected = [0, 1, 7, 8, 4, 6, 5, 1, 8, 9]
    assert noisy[:10].tolist() == expected
    assert realised == 0.5


def test_asymmetric_noise_without_a_map_is_an_error() -> None:
    with pytest.raises(DataError, match="no class map"):
        corrupt_labels(labels_of(10, 10), 10, "asymmetric", 0.5, 0)


def test_seeds_differ_and_a_higher_rate_corrupts_a_superset() -> None:
    labels = labels_of(5000, 10)
    low, _ = corrupt_labels(labels, 10, "symmetric-exclusive", 0.2, 1)
    high, _ = corrupt_labels(labels, 10, "symmetric-exclusive", 0.6, 1)
    other, _ = corrupt_labels(labels, 10, "symmetric-exclusive", 0.2, 2)
    assert not torch.equal(low, other)
    assert bool(((high != labels) | (low == labels)).all())


def test_the_noise_of_training_labels_stays_what_it_was() -> None:
    noisy, realised = corrupt_labels(labels_of(40, 10), 10, "symmetric-exclusive", 0.4, 7)
    assert noisy.tolist() == [
        6,
        6,
        2,
        3,
        4,
        5,
        3,
        7,
        8,
        8,
        0,
        1,
        2,
        3,
        7,
        5,
        6,
        2,
        8,
        8,
        7,
        1,
        2,
        3,
        4,
        6,
        6,
        7,
        8,
        9,
        9,
        7,
        2,
        3,
        4,
        5,
        2,
        0,
        2,
        3,
    ]
    assert realised == 0.375


@given(st.sampled_from(["symmetric-exclusive", "pairflip"]), st.integers(0, 1000))
def test_validation_labels_have_draws_of_their_own(kind: NoiseKind, seed: int) -> None:
    labels = labels_of(4000, 10)
    train, _ = corrupt_labels(labels, 10, kind, 0.5, seed)
    validation, realised = corrupt_labels(labels, 10, kind, 0.5, seed, split="validation")
    assert torch.equal(validation, corrupt_labels(labels, 10, kind, 0.5, seed, split="validation")[0])
    assert realised == pytest.approx(0.5, abs=0.05)
    both_wrong = float(((train != labels) & (validation != labels)).double().mean())
    assert both_wrong == pytest.approx(0.25, abs=0.05)  # of independent draws


def test_no_seed_of_a_sweep_gives_validation_labels_the_draws_of_another_seed_of_training() -> None:
    labels = labels_of(64, 10)
    of_train, of_validation = (
        {tuple(corrupt_labels(labels, 10, "pairflip", 0.5, seed, split=split)[0].tolist()) for seed in range(300)}
        for split in SPLITS
    )
    assert len(of_train) == len(of_validation) == 300
    assert not of_train & of_validation
