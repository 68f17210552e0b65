"""Whether a verdict rests on one seed: claims on trained networks judged again without the records of each seed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bench.analysis.statistics.claim import Claim
from bench.analysis.statistics.evaluate import Asked, results_of
from bench.analysis.statistics.reason import Conclusion


def conclusions_without_a_seed(
    claims: Sequence[Claim],
    asked: Sequence[Sequence[Asked]],
    conclusions: Sequence[Conclusion],
    most: int | None = None,
) -> list[dict[int, Conclusion]] | None:
    """Return the conclusion of each claim without a seed, by the seed, where it differs from that with every seed.

    Records stay where a method has no other seed: it has no interval anyway, and without it a cell would not count.
    Comparisons of claims of a family are corrected together each time, as they are with every seed.

    Args:
        claims: 0 or more.
        asked: the comparisons of each.
        conclusions: of each, with every seed.
        most: the largest number of comparisons to judge, a comparison counted once for each seed of its family. Where
            there are more, None is returned.
    """
    seeds_by_family: defaultdict[str, set[int]] = defaultdict(set)
    for claim, comparisons in zip(claims, asked, strict=True):
        seeds_by_family[claim.family].update(*(one.found.seeds for one in comparisons if len(one.found.seeds) > 1))
    judged = sum(len(one) * len(seeds_by_family[claim.family]) for claim, one in zip(claims, asked, strict=True))
    if most is not None and judged > most:
        return None
    changed: list[dict[int, Conclusion]] = [{} for _ in claims]
    for family, seeds in seeds_by_family.items():
        members = [place for place, claim in enumerate(claims) if claim.family == family]
        for seed in sorted(seeds):
            fewer = [[one.without(seed) for one in asked[place]] for place in members]
            for place, result in zip(members, results_of([claims[place] for place in members], fewer), strict=True):
                if result.conclusion != conclusions[place]:
                    changed[place][seed] = result.conclusion
    return changed


def text_without_a_seed(changed: Mapping[int, Conclusion]) -> str:
    """Return what ``changed`` says, as ``undecided without seed 2``; an empty text if nothing changed."""
    seeds_by_conclusion: defaultdict[Conclusion, list[int]] = defaultdict(list)
    for seed, conclusion in sorted(changed.items()):
        seeds_by_conclusion[conclusion].append(seed)
    return ", ".join(f"{conclusion} {_without(seeds)}" for conclusion, seeds in seeds_by_conclusion.items())


def _without(seeds: Sequence[int]) -> str:
    """Return ``without seed 2``, or ``without one of the seeds 0, 1 and 3 to 19``; ``seeds`` are in order."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    shown = [text for run in runs for text in _shown(run)]
    if len(shown) == 1:
        return f"without {'seed' if len(seeds) == 1 else 'one of the seeds'} {shown[0]}"
    return f"without one of the seeds {', '.join(shown[:-1])} and {shown[-1]}"


def _shown(run: Sequence[int]) -> list[str]:
    """Return the seeds of a run without gaps, ``3 to 19`` if there are more than two."""
    return [f"{run[0]} to {run[-1]}"] if len(run) > 2 else list(map(str, run))
