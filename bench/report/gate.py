"""What the gate decided, as lines, Markdown and JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from bench.analysis.compare import Change, Compared
from bench.analysis.gate import FOUND_PERCENT, REASON, THRESHOLDS, Decision, is_time
from bench.analysis.words import counted
from bench.report.comparison import COLUMNS, change_rows, in_order
from bench.report.markdown import markdown_table
from bench.store.record import Record


def headline(decision: Decision) -> str:
    """Return the result as one sentence."""
    times = sum(map(is_time, decision.changes))
    others = len(decision.changes) - times
    judged = f", {times} of times" if times else "; no time was judged"
    what = f"{counted(others, 'comparison')} of bytes and status{judged}"
    if decision.is_open:
        return f"The gate passed: no alarm in {what}."
    return f"The gate failed: {counted(len(decision.alarms), 'alarm')} in {what}."


def said(decision: Decision) -> list[str]:
    """Return what a person should know beside the headline and the alarms, as sentences."""
    lines = list(decision.notes)
    lines += [f"{what.capitalize()} were not judged: {why}." for what, why in decision.unjudged.items()]
    if blind := decision.blind:
        lines.append(
            f"{counted(len(blind), 'time')} cannot exclude {FOUND_PERCENT:g} % more, so such a change might go "
            f"unnoticed: {'; '.join(sorted(change.cell for change in blind))}."
        )
    if any(change.quantity.endswith("bytes") for change in decision.alarms):
        lines.append("A change of bytes that is meant goes into the baseline: make baseline REASON='...'.")
    return lines


def about_baseline(baseline: Iterable[Record]) -> str:
    """Return when, with which code and why the baseline was renewed last."""
    newest = max(baseline, key=lambda record: record.created)
    environment = newest.environment
    commit = str(environment.get("commit") or "an unknown commit")[:12]
    return f"The baseline is of {newest.created[:10]}, {commit}: {environment.get(REASON) or 'no reason is known'}"


def alarm_rows(decision: Decision) -> list[tuple[str, ...]]:
    """Return a row for each alarm, with the columns of a comparison."""
    return change_rows(_as_compared(decision.alarms), show_all=True)


def to_markdown(decision: Decision, baseline: Iterable[Record]) -> str:
    """Return the result for a pull request: the alarms, then the rest folded."""
    lines = [f"**{headline(decision)}**", "", f"{about_baseline(baseline)}", ""]
    lines += [f"> {line}\n" for line in said(decision)]
    others = [change for change in decision.changes if change not in decision.alarms]
    if decision.alarms:
        lines += [markdown_table(COLUMNS, alarm_rows(decision)), ""]
    if others:
        lines += ["<details><summary>Everything else that was compared</summary>", ""]
        lines += [markdown_table(COLUMNS, change_rows(_as_compared(others), show_all=True)), "", "</details>", ""]
    return "\n".join(lines)


def to_json(decision: Decision, baseline: Iterable[Record]) -> str:
    """Return everything that was decided."""
    return json.dumps(
        {
            "is_open": decision.is_open,
            "headline": headline(decision),
            "baseline": about_baseline(baseline),
            "limits": asdict(THRESHOLDS),
            "said": said(decision),
            "unjudged": decision.unjudged,
            "alarms": [asdict(change) for change in in_order(decision.alarms)],
            "changes": [asdict(change) for change in decision.changes],
        },
        indent=2,
    )


def _as_compared(changes: list[Change]) -> Compared:
    return Compared(changes, ([], []))
