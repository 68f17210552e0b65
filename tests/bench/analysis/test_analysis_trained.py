"""Training runs by configuration and method: what each is compared with, and that all differences are one family."""

from typing import Any

import numpy as np
import pytest
from made_tables import accuracy_table
from record_builder import made_data, make_record

from bench.analysis.differences import compared_with_bp, judged_together
from bench.analysis.frame import records_frame
from bench.analysis.trained import Trained, trained_methods
from bench.report.tables.text import difference_text
from bench.store.record import Record

IMAGES = 100


def run(method: str, seed: int, share: float = 0.9, **axes: Any) -> Record:
    cell = {"method": method, "depth": 4, "seed": seed, "passes": ["accuracy"]} | axes
    correct = np.random.default_rng(seed + len(method) + int(1000 * share)).random(IMAGES) < share
    return make_record(cell, correct=correct, data=made_data(8, "one", IMAGES))


def runs(method: str, seeds: int = 3, share: float = 0.9, **axes: Any) -> list[Record]:
    return [run(method, seed, share, **axes) for seed in range(seeds)]


def by_name(records: list[Record]) -> dict[tuple[str, int], Trained]:
    found = trained_methods(records_frame(records))
    return {(trained.first["series"], trained.first["modules"]): trained for trained in found}


def test_plain_bp_is_compared_with_bp_on_the_most_modules() -> None:
    records = [*runs("bp"), *runs("bp", share=0.8, modules=2), *runs("bp", share=0.7, modules=1)]
    found = by_name([*records, *runs("sid-streamed", share=0.6)])
    most, fewer, plain = found["bp", 4], found["bp", 2], found["bp", 1]
    assert (most.differences, fewer.differences) == ({}, {})
    assert plain.group == most.group == found["sid-streamed", 4].group != fewer.group
    for epoch, difference in plain.differences.items():
        expected = compared_with_bp(plain.runs, most.runs, epoch)
        assert difference.comparison == expected
    table = accuracy_table(records_frame(records)).set_index("modules")["last epoch minus BP's, points"]
    assert table[4] == table[2] == "baseline"
    assert "3 seeds, 100 images" in table[1]


@pytest.mark.parametrize("axes", [{"noise_rate": 0.4}, {"epochs": 20}, {"optimizer": "sgd"}, {"depth": 8}])
def test_plain_bp_is_not_compared_with_another_training(axes: dict[str, Any]) -> None:
    other = {"depth": 4} | axes
    found = by_name([*runs("bp", modules=1), *runs("bp", modules=other["depth"], **axes)])
    assert found["bp", 1].differences == {}
    assert found["bp", 1].group == found["bp", 1].first["group"]


def test_all_differences_are_judged_as_one_family() -> None:
    records = [record for rate in (0.0, 0.4) for method in ("bp", "sid-streamed", "deep-supervision")
               for record in runs(method, noise_rate=rate)]  # fmt: skip
    found = trained_methods(records_frame(records))
    differences = [difference for trained in found for difference in trained.differences.values()]
    assert {difference.judged.family for difference in differences if difference.judged} == {8}
    assert differences == judged_together([difference.comparison for difference in differences])


def test_differences_by_seed_are_those_of_common_seeds_in_points() -> None:
    own, bp = runs("sid-streamed", 4), runs("bp", 5)[1:]
    trained = by_name(own + bp)["sid-streamed", 4]
    shares = [[record.accuracy.test_last for record in records if record.accuracy] for records in (own, bp)]
    expected = {seed: 100 * (shares[0][seed] - shares[1][seed - 1]) for seed in (1, 2, 3)}
    assert trained.by_seed["last"] == pytest.approx(expected)
    estimate = trained.differences["last"].estimate
    assert estimate is not None
    assert 100 * estimate.value == pytest.approx(np.mean(list(expected.values())))


def test_other_data_give_no_differences_by_seed() -> None:
    other = [record.model_copy(update={"data": None}) for record in runs("bp")]
    trained = by_name([*runs("sid-streamed"), *other])["sid-streamed", 4]
    assert trained.by_seed == {"last": {}, "chosen": {}}
    assert difference_text(trained.differences["last"]) == "not measured"


def test_without_bp_nothing_is_measured() -> None:
    (trained,) = trained_methods(records_frame(runs("sid-streamed")))
    assert trained.differences["last"].estimate is None
    assert trained.by_seed["last"] == {}
