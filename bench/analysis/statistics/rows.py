"""The verdicts of claims as rows of text, which the terminal and the report show alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.statistics.claim import Claim
from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.evaluate import ClaimResult, ask, results_of
from bench.analysis.statistics.provider import Provider
from bench.analysis.statistics.reason import Conclusion, tally
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.sentence import effect, margin_text, sample
from bench.analysis.statistics.verdict import Answer
from bench.analysis.statistics.without_seed import conclusions_without_a_seed, text_without_a_seed
from bench.store.record import Record

# The answers of a control's comparisons in the order in which they count, and what each says of the claim.
_SAYINGS: dict[Answer, str] = {
    "no": "does not hold",
    "not measured": "not measured",
    "open": "undecided",
    "yes": "holds",
}


@dataclass(frozen=True)
class ControlRow:
    """A control of a claim.

    Attributes:
        name: what would explain the effect.
        holds: whether the claim holds against it in every cell: ``holds``, ``does not hold``, ``undecided`` or ``not
            measured``.
        decides: the comparison that decides is one with this control.
    """

    name: str
    holds: str
    decides: bool


@dataclass(frozen=True)
class ClaimRow:
    """The verdict of a claim as text.

    Attributes:
        name: of the claim.
        sentence: what is claimed.
        source: where it is claimed.
        expect: what the first method has to be.
        verdict: the conclusion.
        without_a_seed: what it is without the records of one seed, where it differs; empty if it never does, and for
            claims that are not on trained networks; None where that was not judged.
        first: the method of the claim.
        second: what the deciding comparison compares it with.
        statistic: the quantity of that comparison.
        cell: its cell.
        effect: its estimate, with the interval, corrected for the comparisons of the family.
        sample: the processes, or the seeds and images, that it rests on; ``exact`` for numbers without
            uncertainty, ``none`` where nothing was measured.
        margin: the largest difference that does not matter.
        comparisons: how many comparisons the claim has.
        answers: of the claim's own comparisons, how many hold, give the contrary, are undecided and are not measured.
        control_answers: the same of the comparisons with its controls; empty without controls.
        controls: of the claim.
        reason: why the verdict is so.
        records: the ids of the records of ``first`` that the deciding comparison rests on.
    """

    name: str
    sentence: str
    source: str
    expect: str
    verdict: Conclusion
    without_a_seed: str | None
    first: str
    second: str
    statistic: str
    cell: str
    effect: str
    sample: str
    margin: str
    comparisons: int
    answers: str
    control_answers: str
    controls: tuple[ControlRow, ...]
    reason: str
    records: tuple[str, ...]

    @property
    def verdict_text(self) -> str:
        """The verdict, and whether it rests on one seed: ``refuted (undecided without seed 2)``."""
        return f"{self.verdict} ({self.without_a_seed})" if self.without_a_seed else self.verdict

    @property
    def answers_text(self) -> str:
        """How many comparisons hold: ``4 of 34 hold, 30 undecided; with controls 12 of 187 hold, 175 undecided``."""
        return f"{self.answers}; with controls {self.control_answers}" if self.control_answers else self.answers

    @property
    def deciding_control(self) -> str | None:
        """The control that the comparison that decides is one with; None for one of the claim's own."""
        return next((control.name for control in self.controls if control.decides), None)

    @property
    def effect_text(self) -> str:
        """The effect, and the control that it is against, if any: ``-4.5 points [-7.4, -1.6] (against early stop)``."""
        return self.effect if self.deciding_control is None else f"{self.effect} (against {self.deciding_control})"

    @property
    def control_text(self) -> str:
        """How many controls the claim holds against: ``1 of 3 hold``."""
        held = sum(control.holds == "holds" for control in self.controls)
        return f"{held} of {len(self.controls)} hold" if self.controls else "none"


def claim_rows(records: Iterable[Record], claims: Sequence[Claim] | None = None) -> list[ClaimRow]:
    """Return the verdict of each claim from ``records``, one of each id.

    Args:
        records: of all files together.
        claims: those that come with the package if left out.
    """
    return claim_rows_of(RecordProvider(records), claims)


def claim_rows_of(
    provider: Provider, claims: Sequence[Claim] | None = None, most_without_a_seed: int | None = None
) -> list[ClaimRow]:
    """Return :func:`claim_rows` of what ``provider`` finds.

    Args:
        provider: of the records.
        claims: those that come with the package if left out.
        most_without_a_seed: see :func:`bench.analysis.statistics.without_seed.conclusions_without_a_seed`.
    """
    judged = claims or load_claims()
    asked = [ask(claim, provider) for claim in judged]
    results = results_of(judged, asked)
    without = conclusions_without_a_seed(judged, asked, [result.conclusion for result in results], most_without_a_seed)
    if without is None:
        return [_row(result, None) for result in results]
    return [_row(result, text_without_a_seed(one)) for result, one in zip(results, without, strict=True)]


def _row(result: ClaimResult, without_a_seed: str | None) -> ClaimRow:
    claim, judged = result.claim, result.deciding.judged
    comparison = judged.comparison
    with_controls = [part for part in result.parts if part.control is not None]
    return ClaimRow(
        name=claim.name,
        sentence=claim.sentence,
        source=claim.source,
        expect=claim.expect,
        verdict=result.conclusion,
        without_a_seed=without_a_seed,
        first=comparison.first,
        second=comparison.second,
        statistic=comparison.statistic.name,
        cell=comparison.cell,
        effect=effect(judged),
        sample=sample(judged),
        margin=margin_text(claim.margin, comparison.statistic.unit),
        comparisons=len(result.parts),
        answers=tally([part for part in result.parts if part.control is None]),
        control_answers=tally(with_controls) if with_controls else "",
        controls=tuple(_control(result, control.name) for control in claim.controls),
        reason=result.reason,
        records=comparison.records,
    )


def _control(result: ClaimResult, name: str) -> ControlRow:
    answers = {part.judged.answer for part in result.parts if part.control == name}
    holds = next(saying for answer, saying in _SAYINGS.items() if answer in answers)
    return ControlRow(name, holds, result.deciding.control == name)
