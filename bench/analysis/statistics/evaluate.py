"""Verdicts of claims: every comparison that a claim needs, corrected within its family, and what follows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from bench.analysis.statistics.claim import Claim, Control
from bench.analysis.statistics.comparison import Comparison, NotMeasured
from bench.analysis.statistics.pairing import method_text
from bench.analysis.statistics.provider import Found, Provider, Request
from bench.analysis.statistics.reason import Conclusion, Part, conclude
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.verdict import Judged, judge
from bench.config.methods import known_method
from bench.config.plugins import is_reference


@dataclass(frozen=True)
class ClaimResult:
    """The verdict of a claim.

    Attributes:
        claim: the claim.
        conclusion: ``supported`` if every comparison, those with controls included, gives what the claim expects;
            ``refuted`` if one of the claim's own gives the contrary; ``not supported`` if only one with a control does;
            else ``not measured`` if none of the claim's own has a number; else ``undecided`` if one is; else ``not
            measured`` if one is missing.
        reason: why, in plain sentences with the numbers that decide.
        deciding: the comparison that decides.
        parts: every comparison with its verdict.
    """

    claim: Claim
    conclusion: Conclusion
    reason: str
    deciding: Part
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Asked:
    """One comparison of a claim, as it was found.

    Attributes:
        control: the name of the control that it belongs to; None for the claim's own comparison.
        comparison: what is to be judged.
        found: what it is made of.
    """

    control: str | None
    comparison: Comparison
    found: Found

    def without(self, seed: int) -> "Asked":
        """Return the comparison without the records of a seed; itself where it has none, or none but those."""
        if self.found.without is None or seed not in self.found.seeds or len(self.found.seeds) == 1:
            return self
        return replace(self, comparison=replace(self.comparison, outcome=self.found.without(seed)))


def evaluate(claims: Sequence[Claim], provider: Provider) -> list[ClaimResult]:
    """Return the verdict of each claim, in order; the comparisons of claims of one family are corrected together."""
    return results_of(claims, [ask(claim, provider) for claim in claims])


def ask(claim: Claim, provider: Provider) -> list[Asked]:
    """Return the claim's own comparisons and those with its controls, which need every cell of the claim's own."""
    return list(_comparisons(claim, provider))


def results_of(claims: Sequence[Claim], asked: Sequence[Sequence[Asked]]) -> list[ClaimResult]:
    """Return :func:`evaluate` of the comparisons of each claim, 1 or more."""
    judged: dict[int, list[Judged]] = {}
    for family in dict.fromkeys(claim.family for claim in claims):
        members = [index for index, claim in enumerate(claims) if claim.family == family]
        verdicts = iter(judge([one.comparison for index in members for one in asked[index]]))
        for index in members:
            judged[index] = [next(verdicts) for _ in asked[index]]
    results = []
    for index, claim in enumerate(claims):
        parts = [Part(one.control, verdict) for one, verdict in zip(asked[index], judged[index], strict=True)]
        results.append(ClaimResult(claim, *conclude(parts), tuple(parts)))
    return results


def _comparisons(claim: Claim, provider: Provider) -> Iterator[Asked]:
    for values in product(*claim.each.values()):
        setting = dict(zip(claim.each, values, strict=True))
        cells: dict[str, set[str]] = {}
        for name in claim.statistics:
            own = _find(claim, claim.against, name, setting, provider, set())
            cells[name] = {one.cell for one in own if not isinstance(one.outcome, NotMeasured)}
            yield from (Asked(None, _comparison(claim, claim.against, name, found), found) for found in own)
        for control in claim.controls:
            for name in control.statistics or claim.statistics:
                needed = cells[name] if name in cells else set().union(*cells.values())
                for against, found in _first_measured(claim, control, name, setting, provider, needed):
                    yield Asked(control.name, _comparison(claim, against, name, found), found)


def _first_measured(
    claim: Claim, control: Control, name: str, setting: Mapping[str, Any], provider: Provider, cells: set[str]
) -> Iterable[tuple[Mapping[str, Any], Found]]:
    """Return of each cell what is found for the first alternative of a control that was measured there, or else for the
    first of all.
    """
    chosen: dict[str, tuple[Mapping[str, Any], Found]] = {}
    for against in control.against:
        for found in _find(claim, against, name, setting, provider, cells):
            earlier = chosen.get(found.cell)
            if earlier is None or (
                isinstance(earlier[1].outcome, NotMeasured) and not isinstance(found.outcome, NotMeasured)
            ):
                chosen[found.cell] = (against, found)
    return chosen.values()


def _find(
    claim: Claim,
    against: Mapping[str, Any] | None,
    name: str,
    setting: Mapping[str, Any],
    provider: Provider,
    cells: set[str],
) -> list[Found]:
    """Return what the provider finds, and an entry without a number for each of ``cells`` that it does not have."""
    answer: Sequence[Found] | NotMeasured
    named = [side["method"] for side in (claim.method, against) if side]
    strange = [method for method in named if known_method(method) is None and not is_reference(method)]
    if strange:
        answer = NotMeasured(f"there is no method {strange[0]!r}")
    else:
        where = {**claim.where, **{axis: [value] for axis, value in setting.items()}}
        answer = provider.find(Request(STATISTICS[name], claim.method, against, where))
    nothing = answer if isinstance(answer, NotMeasured) else NotMeasured("there is no such record")
    found = [] if isinstance(answer, NotMeasured) else list(answer)
    found += [Found(cell, nothing) for cell in sorted(cells - {one.cell for one in found})]
    return found or [Found(method_text(setting), nothing)]


def _comparison(claim: Claim, against: Mapping[str, Any] | None, name: str, found: Found) -> Comparison:
    statistic, outcome = STATISTICS[name], found.outcome
    second = statistic.reference if against is None else method_text(against)
    return Comparison(
        method_text(claim.method),
        second or "",
        statistic,
        outcome,
        claim.margin,
        claim.expect,
        found.cell,
        found.records,
    )
