"""The sentences and the table of ``sid-bench fit``, from fits that are made up."""

from collections.abc import Mapping
from typing import Any

import pytest

from bench.config.check import make_cell
from bench.plan.fit.allowance import Allowance
from bench.plan.fit.answer import answer
from bench.plan.fit.document import notes, table_rows
from bench.plan.fit.errors import PredictionError
from bench.plan.fit.fitting import Budget, Fit, Fits, Planned
from bench.plan.tasks import BATCH_LIMIT, Largest
from bench.store.measurements.memory import CreatedBytes, Memory

NETWORK = "pipeline-resnet18"
MEMORY = Memory(
    peak_activation_bytes=2000 * 2**20,
    parameter_bytes=1,
    gradient_bytes=1,
    optimizer_bytes=1,
    buffer_bytes=1,
    input_bytes=1,
    peak_total_bytes=2000 * 2**20,
    at_peak=CreatedBytes(activation_trunk=0, activation_modules=0, temporary_trunk=0, temporary_modules=0),
    timeline=None,
    allocator=None,
)
BP: dict[str, Any] = {"method": "bp"}
CHECKPOINTS = BP | {"recompute": "modules"}
PARTS = BP | {"micro_batches": 8}
STREAMED: dict[str, Any] = {"method": "sid-streamed"}


def fit(batches: list[int], name: str = "", where: str | None = None, **axes: Any) -> Fit:
    cell = make_cell(
        {"network": NETWORK, "image_size": 32, "dataset": "random", "batch_size": 512, "passes": ["memory"]} | axes
    )
    error = None if where is None else PredictionError(0.0, None, 3, where, "", None)
    planned = Planned(MEMORY, 0, tuple(Largest(batch, None, None) for batch in batches))
    return Fit(cell, name or cell.method, planned, 1, tuple(batch >= 512 for batch in batches), error, None)


def fits(*rows: Fit, budgets: tuple[str, ...] = ("8GiB",)) -> Fits:
    return Fits(NETWORK, "cpu", tuple(Budget(text, 1) for text in budgets), rows, (), Allowance("cpu"))


def test_it_says_what_sid_and_what_each_way_of_bp_fits() -> None:
    found = fits(
        fit([1120], **BP),
        fit([2306], **CHECKPOINTS),
        fit([1249], **BP, recompute="selective"),
        fit([8576], **PARTS),
        fit([9000], **CHECKPOINTS, micro_batches=8),
        fit([1352], **STREAMED),
        fit([10_264], "sid-streamed micro-batches 8", **STREAMED, micro_batches=8),
    )
    assert answer(found) == [
        "In 8 GiB, streamed SID fits 1.21 times as many images as BP (1,352 against 1,120); BP with checkpoints "
        "(recompute modules) fits 2,306, and BP in 8 micro-batches fits 8,576. The largest batch is 10,264, under "
        "sid-streamed micro-batches 8. A batch of 512 fits under all 7 rules."
    ]


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ({"bp": 300, "sid-streamed": 600}, "streamed SID fits 2.00 times as many images as BP (600 against 300). A"),
        ({"bp": 300, "sid-streamed": 200}, "(200 against 300). A"),
        (
            {"bp": 7, "sid-streamed": 7},
            "streamed SID fits as many images as BP (7). A batch of 512 fits under none of 2",
        ),
        ({"bp": 0, "sid-streamed": 1}, "streamed SID fits 1 image, and BP none. A"),
        ({"bp": 0, "sid-streamed": 0}, "streamed SID fits no images, and BP none. A"),
        ({"bp": 9, "sid-streamed": BATCH_LIMIT}, "streamed SID fits more than 16,777,216 images, and BP 9. A"),
        ({"bp": 900}, "BP fits 900 images. A batch of 512 fits."),
        ({"bp": 400, "mono-forward": 400, "dfa": 800}, "dfa fits 2.00 times as many images as BP (800 against 400). A"),
        (
            {"dfa": 400, "bp-step-in-backward": 800},
            "bp-step-in-backward fits 800 images. A batch of 512 fits under 1 of 2",
        ),
    ],
)
def test_numbers_without_a_ratio_and_rules_that_are_missing(batches: Mapping[str, int], said: str) -> None:
    (text,) = answer(fits(*(fit([batch], method=method) for method, batch in batches.items())))
    assert said in text


def test_a_setting_that_all_rules_have_is_in_their_names() -> None:
    rows = [
        fit([batch], f"{name} micro-batches 4", method=name, micro_batches=4)
        for name, batch in (("bp", 4), ("sid-streamed", 8))
    ]
    (text,) = answer(fits(*rows))
    assert "sid-streamed micro-batches 4 fits 2.00 times as many images as bp micro-batches 4 (8 against 4). A" in text


def test_each_budget_and_each_number_of_modules_has_sentences_of_its_own() -> None:
    rows = [
        fit([first, second], f"{method}, modules {modules}", method=method, modules=modules)
        for modules in (2, 4)
        for method, first, second in (("bp", 100, 1000), ("sid-streamed", 100 * modules, 1000 * modules))
    ]
    texts = answer(fits(*rows, budgets=("1GiB", "9.5GB")))
    starts = [
        "In 1 GiB with modules 2",
        "In 1 GiB with modules 4",
        "In 9.5 GB with modules 2",
        "In 9.5 GB with modules 4",
    ]
    assert [text.partition(",")[0] for text in texts] == starts
    assert "fits 2.00 times as many images as BP (200 against 100)" in texts[0]
    assert "fits 4.00 times as many images as BP (4,000 against 1,000)" in texts[3]


def test_the_table_has_the_largest_batch_first_and_says_on_which_network_an_error_was_measured() -> None:
    rows = [
        fit([9], **BP),
        fit([1352], where=NETWORK, **STREAMED),
        fit([BATCH_LIMIT], where="pipeline-vgg11", method="dfa"),
    ]
    heading, *lines = table_rows(fits(*rows))
    columns = [dict(zip(heading, line, strict=True)) for line in lines]
    assert [row["rule"] for row in columns] == ["dfa", "sid-streamed", "bp"]
    assert [row["largest batch, 8GiB"] for row in columns] == ["> 16,777,216", "1,352", "9"]
    assert [row["error where the rule was measured"] for row in columns] == [
        "0 % on pipeline-vgg11 (3 cells)",
        "0 % on this network (3 cells)",
        "not measured",
    ]
    assert {row["predicted"] for row in columns} == {"2,000"}


def test_a_note_says_that_the_network_itself_was_not_measured() -> None:
    assert not any("was not measured" in note for note in notes(fits(fit([9], where=NETWORK, **BP))))
    assert f"{NETWORK} was not measured: the errors are those of other networks. --measure measures it." in notes(
        fits(fit([9], where="pipeline-vgg11", **BP), fit([9], method="dfa"))
    )
