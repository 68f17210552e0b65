"""A comparison of two runs as rows, Markdown and JSON."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from bench.analysis.compare import Change, Compared
from bench.analysis.statistics.sentence import margin_text
from bench.analysis.words import counted, first_few
from bench.report.markdown import markdown_table

COLUMNS = ("quantity", "verdict", "change [interval]", "sample", "cell")
_LONGEST_REASON = 120  # characters; --json holds all of it
_ORDER = {"worse": 0, "better": 1, "inconclusive": 2, "not measured": 3, "same": 4}

Names = tuple[str, str]


def headline(compared: Compared, names: Names) -> str:
    """Return how many changes there are of each kind, as one line."""
    counts = [(word, compared.count(word)) for word in ("worse", "better", "same", "inconclusive", "not measured")]
    text = ", ".join(f"{count} {word}" for word, count in counts if count) or "nothing to compare"
    left = " and ".join(what for what, _ in _only(compared, names))
    return f"{names[1]} compared with {names[0]}: {text}" + (f"; {left}" if left else "")


def gaps(compared: Compared, names: Names) -> list[str]:
    """Return what was not compared, for ``--strict``: what one run alone holds, and what is not measured."""
    number = compared.count("not measured")
    missing = [f"{counted(number, 'comparison')} of {names[1]} with {names[0]} not measured"] if number else []
    return [*(f"{what}: {first_few(cells)}" for what, cells in _only(compared, names)), *missing]


def in_order(changes: Iterable[Change]) -> list[Change]:
    """Return ``changes``, what is worse first and what is the same last."""
    return sorted(changes, key=lambda change: _ORDER[change.word])


def change_rows(compared: Compared, *, show_all: bool) -> list[tuple[str, ...]]:
    """Return the changes as rows with :data:`COLUMNS`, what is worse first; what is the same only if asked for."""
    return [
        (change.quantity.replace("_", " "), change.word, _effect(change), change.sample, change.cell)
        for change in in_order(compared.changes)
        if show_all or change.word != "same"
    ]


def _only(compared: Compared, names: Names) -> list[tuple[str, Sequence[str]]]:
    """What one run alone holds, in words, with the cells."""
    sides = list(zip(names, compared.left_out, compared.passes_left_out, strict=True))
    return [
        *((f"{counted(len(cells), 'cell')} only in {name}", cells) for name, cells, _ in sides if cells),
        *((f"passes of {counted(len(cells), 'cell')} only in {name}", cells) for name, _, cells in sides if cells),
    ]


def _effect(change: Change) -> str:
    """The effect, or why there is none."""
    if change.reason is None:
        return change.effect
    return textwrap.shorten(change.reason, _LONGEST_REASON, placeholder=" ...")


PAIR_COLUMNS = ("first", "second", "worse", "better", "same", "inconclusive", "not measured")


def short_names(names: Sequence[str]) -> list[str]:
    """Return the names of files without their folders, if they differ without."""
    short = [name.rpartition("/")[2] for name in names]
    return short if len(set(short)) == len(short) else list(names)


def pair_rows(pairs: Iterable[tuple[Names, Compared]]) -> list[tuple[str, ...]]:
    """Return a row with :data:`PAIR_COLUMNS` for each pair of runs: their names, and how many changes of each kind."""
    return [
        (*names, *(str(compared.count(word)) for word in ("worse", "better", "same", "inconclusive", "not measured")))
        for names, compared in pairs
    ]


def pairs_to_markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the rows of :func:`pair_rows` as a table."""
    return markdown_table(PAIR_COLUMNS, rows) + "\n"


def to_json(compared: Compared, names: Names) -> str:
    """Return everything that was found."""
    return json.dumps(
        {
            "first": names[0],
            "second": names[1],
            "has_regressed": compared.has_regressed,
            "only_in_first": compared.only_in[0],
            "only_in_second": compared.only_in[1],
            "passes_only_in_first": compared.passes_left_out[0],
            "passes_only_in_second": compared.passes_left_out[1],
            "notes": compared.notes,
            "changes": [asdict(change) for change in compared.changes],
        },
        indent=2,
    )


def to_markdown(compared: Compared, names: Names) -> str:
    """Return the result for a pull request: the counts, what changed, and the rest folded."""
    lines = [f"**{headline(compared, names)}**", ""]
    lines += [f"> {note}\n" for note in compared.notes]
    rows = change_rows(compared, show_all=True)
    changed = [row for row in rows if row[1] in ("worse", "better")]
    others = [row for row in rows if row[1] not in ("worse", "better")]
    if changed:
        lines += [markdown_table(COLUMNS, changed), ""]
    if others:
        lines += ["<details><summary>What did not change, or cannot be told</summary>", ""]
        lines += [markdown_table(COLUMNS, others), "", "</details>", ""]
    for what, cells in _only(compared, names):
        table = markdown_table(("cell",), [(cell,) for cell in cells])
        lines += [f"<details><summary>{what}</summary>", "", table, "", "</details>", ""]
    if all(compared.commits):
        lines += [_basis(compared, names), ""]
    return "\n".join(lines)


def _basis(compared: Compared, names: Names) -> str:
    """What a reviewer needs beside the numbers: which changes do not matter, and the commits of both runs."""
    limits = compared.thresholds
    commits = (f"{' and '.join(found)} in {name}" for found, name in zip(compared.commits, names, strict=True))
    exact = "Bytes are compared exactly. Changes up to"
    of_bytes = f"Changes up to {limits.bytes:g} % in bytes," if limits.bytes else exact
    return (
        f"{of_bytes} {limits.time:g} % in time and {margin_text(limits.accuracy, 'points')} in accuracy do not matter. "
        f"Commits: {', '.join(commits)}."
    )
