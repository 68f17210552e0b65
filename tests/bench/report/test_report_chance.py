"""The warning on methods whose accuracy is not above that of a guess."""

import numpy as np
import pytest
from record_builder import made_data, make_record

from bench.report.inputs import Inputs
from bench.report.warnings import warnings_of
from bench.store.record import Record

IMAGES = 400  # of ten classes: two standard errors of a guess are 3 points


def trained(method: str, right: int, seed: int = 0, epochs: int = 3) -> Record:
    cell = {"method": method, "passes": ["accuracy"], "seed": seed, "epochs": epochs}
    return make_record(cell, correct=np.arange(IMAGES) < right, data=made_data(8, "a", IMAGES))


def warnings(*records: Record) -> list[str]:
    return [text for text in warnings_of(Inputs((), (), records, ())) if "guess" in text]


@pytest.mark.parametrize(("right", "is_at_chance"), [(20, True), (40, True), (51, True), (53, False), (300, False)])
def test_an_accuracy_of_a_guess_is_told(right: int, is_at_chance: bool) -> None:
    assert bool(warnings(trained("bp", 300), trained("sid-streamed", right))) == is_at_chance


def test_the_warning_names_the_method_its_accuracy_that_of_a_guess_and_what_to_do() -> None:
    (warning,) = warnings(trained("bp", 300), trained("sid-streamed", 38))
    assert warning == (
        "In 1 cell, sid-streamed is not more accurate than a guess: 9.5 % after 3 epochs, where a guess has 10.0 %, on "
        "cascade-linear, depth 4, modules 4, hidden 256, batch 128, adam. It has learned nothing there: "
        "train for more epochs (--set epochs=N) before you judge its accuracy."
    )


def test_the_mean_over_seeds_counts() -> None:
    assert warnings(trained("bp", 40), trained("bp", 100, seed=1)) == []
    (warning,) = warnings(trained("bp", 40), trained("bp", 48, seed=1), trained("bp", 44, epochs=1))
    assert warning.startswith("In 2 cells, bp is not more accurate than a guess: 11.0 % after ")
    assert " at most, where a guess has 10.0 %" in warning


def test_records_without_accuracies_have_no_such_warning() -> None:
    assert warnings(make_record({"passes": ["memory"]}, 100)) == []
    assert warnings(make_record({"passes": ["accuracy"]}, status="crashed", message="no")) == []


def test_training_that_diverged_has_a_warning_of_its_own_only() -> None:
    record = trained("bp", 40)
    accuracy = record.accuracy
    assert accuracy is not None
    diverged = record.model_copy(update={"accuracy": accuracy.model_copy(update={"diverged": True})})
    assert warnings(diverged) == []
    assert any("training diverged" in text for text in warnings_of(Inputs((), (), (diverged,), ())))
