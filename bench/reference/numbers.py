"""Numbers of the reference records as text, for the templates of README and of the findings."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.analysis.files import read_files
from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.evaluate import ClaimResult, evaluate
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.rows import ClaimRow, claim_rows_of
from bench.analysis.statistics.sentence import effect
from bench.analysis.statistics.verdict import Answer, Judged
from bench.config.sweep import load_sweep
from bench.errors import ConfigError
from bench.reference.claims import CLAIM_GROUPS
from bench.reference.select import count_but_for_seed, select, select_one, select_runs
from bench.report.boards import board_markdown
from bench.report.claims import claims_markdown
from bench.report.inputs import read_inputs
from bench.report.sections.leaderboard import ShownBoard, leaderboard
from bench.store.measurements.latency import Latency
from bench.store.measurements.memory import Memory
from bench.store.record import Record

_BP = {"method": "bp", "recompute": "none", "micro_batches": None, "activation_memory_budget": None}


@dataclass(frozen=True)
class Numbers:
    """The records of a folder.

    Methods that take axes look for records whose cells have these values. A method's usual settings are meant where no
    setting is named: ``method="bp"`` is BP without checkpoints and in one piece, ``method="bp-checkpoint"`` BP with
    them.

    Attributes:
        folder: holds ``SUITE.jsonl`` for each suite.
    """

    folder: Path

    def records(self, suite: str) -> Sequence[Record]:
        """Return the records of a suite, one of each id."""
        return _records(self.folder / f"{suite}.jsonl")

    def activations(self, suite: str, **axes: Any) -> str:
        """Return the activation bytes in per cent of those of BP on the same cell, such as ``37 %``."""
        own, bp = (_memory(self._one(suite, "memory", values)) for values in (axes, {**axes, **_BP}))
        share = 100 * own.peak_activation_bytes / bp.peak_activation_bytes
        return f"{share:.0f} %" if share >= 1 else f"{share:.1f} %"

    def total_bytes(self, suite: str, **axes: Any) -> int:
        """Return the bytes of the step, those of weights, gradients, optimizer and batch included."""
        return _memory(self._one(suite, "memory", axes)).peak_total_bytes

    def time_interval(self, suite: str, **axes: Any) -> str:
        """Return the step time over that of BP with its 95 % interval over processes, as ``0.87 [0.85, 0.90]``."""
        latency = _latency(self._one(suite, "latency", axes))
        if latency.ratio_ci95 is None or len(latency.blocks_by_process) == 1:
            raise ConfigError(f"{suite}: {axes} was timed in one process, whose interval leaves out other processes")
        return _with_interval(latency.ratio_to_bp, latency.ratio_ci95)

    def locked(self, suite: str, **axes: Any) -> str:
        """Return the mean share of a step in which a module waits for its gradient, such as ``42 %``."""
        shares = _latency(self._one(suite, "latency", axes)).locked_shares
        if not shares:
            raise ConfigError(f"{suite}: {axes} has no steps in whose trace modules are separate")
        return f"{100 * math.fsum(shares) / len(shares):.0f} %"

    def on_ranks(self, method: str, micro_batches: int | None = None) -> tuple[str, str]:
        """Return the time of a method on two ranks over that on one, and the schedule's bound.

        The time has its 95 % interval if it was measured in several runs: one within a run leaves out how runs differ.
        The bound is what the times of the modules on one rank allow.
        """
        ranks = self._one("parallel", "latency", {"method": method, "micro_batches": micro_batches}).ranks
        if ranks is None or ranks.ratio_to_one_rank is None:
            raise ConfigError(f"parallel: {method} was not timed on several ranks")
        has_runs = len(ranks.one_rank_blocks_by_process or []) > 1
        time = _with_interval(ranks.ratio_to_one_rank, ranks.ratio_to_one_rank_ci95 if has_runs else None)
        return time, "none" if ranks.bound is None else f"{ranks.bound:.2f}"

    def best_schedule(self) -> str:
        """Return the pipeline schedule of BP that took the least time on two ranks."""
        found = [
            (record.ranks.ratio_to_one_rank, record.cell.method)
            for record in self.records("parallel")
            if record.ranks is not None
            and record.ranks.ratio_to_one_rank is not None
            and record.cell.method.startswith("bp-")
        ]
        return min(found)[1]

    def accuracy(self, suite: str, epoch: str = "last", **axes: Any) -> str:
        """Return the mean test accuracy over seeds in per cent, such as ``71.2``.

        Args:
            suite: its name.
            epoch: ``last``, or ``chosen`` by validation labels.
            axes: of the cells.
        """
        fields = {
            "last": "test_last",
            "chosen": "test_at_best_validation",
        }
        found = [
            getattr(record.accuracy, fields[epoch]) for record in self._runs(suite, axes) if record.accuracy is not None
        ]
        return f"{100 * math.fsum(found) / len(found):.1f}"

    def trained(self, suite: str, **axes: Any) -> int:
        """Return how many cells were trained, those that differ only in the seed counted once."""
        return count_but_for_seed(select(suite, self.records(suite), "accuracy", axes))

    def seeds(self, suite: str, **axes: Any) -> int:
        """Return over how many seeds a cell was trained."""
        return len(self._runs(suite, axes))

    def learned(self, suite: str, **axes: Any) -> str:
        """Return the share of wrong training labels that the last weights predict, in per cent, such as ``97``.

        It is the mean over seeds.
        """
        found = [
            record.accuracy.wrong_labels_last.learned_share
            for record in self._runs(suite, axes)
            if record.accuracy is not None and record.accuracy.wrong_labels_last is not None
        ]
        if not found:
            raise ConfigError(f"{suite}: {axes} has no wrong labels")
        return f"{100 * math.fsum(found) / len(found):.0f}"

    def so_far(self, suite: str) -> str:
        """Return how many cells of a suite have a record, such as ``; 43 of 71 cells so far``; nothing if all have."""
        wanted = {cell.id for cell in load_sweep(suite).cells}
        measured = len(wanted & {record.id for record in self.records(suite)})
        return "" if measured == len(wanted) else f"; {measured:,} of {len(wanted):,} cells so far"

    def minutes(self, suite: str) -> int:
        """Return how many minutes the cells took, one after the other."""
        return max(1, round(_seconds(self.records(suite)) / 60))

    def hours_without_gpu(self) -> int:
        """Return how many hours the cells of all suites on a CPU took, one after the other."""
        records = [record for file in self.folder.glob("*.jsonl") for record in self.records(file.stem)]
        return round(_seconds(record for record in records if record.cell.device == "cpu") / 3600)

    def processors(self) -> str:
        """Return the names of the processors that the suites without a GPU were measured on."""
        names = {
            str(record.environment["cpu"])
            for file in self.folder.glob("*.jsonl")
            for record in self.records(file.stem)
            if record.cell.device == "cpu"
        }
        return " and ".join(sorted(name.replace("(R)", "").removesuffix(" Processor") for name in names))

    def gpu(self, suite: str) -> str:
        """Return the name of the GPU that a suite was measured on."""
        return self._same(suite, "gpu")

    def torch(self, suite: str) -> str:
        """Return the version of PyTorch that a suite was measured with."""
        return self._same(suite, "torch")

    def fits(self, network: str) -> list[dict[str, Any]]:
        """Return the rows that ``sid-bench fit --json`` has printed.

        They are in ``fit-NETWORK.json``, and in ``fit-NETWORK-combined.json`` those of checkpoints in micro-batches.
        """
        files = [self.folder / f"fit-{network}{of}.json" for of in ("", "-combined")]
        return [row for file in files if file.exists() for row in _fits(file)["rows"]]

    def largest_batches(self, network: str, rule: str) -> dict[str, int]:
        """Return the largest batch of a rule for each budget; see :meth:`fits`."""
        rows = [row for row in self.fits(network) if row["rule"] == rule]
        if len(rows) != 1:
            raise ConfigError(f"fit-{network}: {len(rows)} rows of {rule}; legal: one")
        return {one["budget"]: one["largest_batch"] for one in rows[0]["budgets"]}

    def plan_error(self, network: str, rules: Iterable[str]) -> float:
        """Return by which share the planned bytes of ``rules`` were at most off, of those that were measured."""
        errors = [row["prediction_error"] for row in self.fits(network) if row["rule"] in set(rules)]
        return max(abs(float(error["share"])) for error in errors if error is not None)

    def board(self, suite: str, network: str) -> str:
        """Return the leaderboard of a network as a Markdown table."""
        return board_markdown(self._board(suite, network))

    def place(self, suite: str, network: str) -> str:
        """Return the sentence on where SID stands on the leaderboard of a network."""
        place = self._board(suite, network).place
        if place is None:
            raise ConfigError(f"{suite}: SID has no place on the leaderboard of {network}")
        return place

    def verdicts(self, *groups: str) -> str:
        """Return a table of the verdicts on groups of :data:`bench.reference.claims.CLAIM_GROUPS`."""
        return claims_markdown([row for group in groups for row in self._rows(group)])

    def deciding(self, *groups: str) -> str:
        """Return the sentence that names the suites whose records decide on groups."""
        suites = dict.fromkeys(suite for group in groups for suite in CLAIM_GROUPS[group].suites)
        *others, last = (f"`{suite}`" for suite in suites)
        return f"Records of {', '.join(others) + ' and ' if others else ''}{last} decide."

    def verdicts_in_brief(self) -> str:
        """Return a table of the verdicts that README gives, without what decides them."""
        groups = [name for name, group in CLAIM_GROUPS.items() if group.in_readme]
        return claims_markdown([row for group in groups for row in self._rows(group)], brief=True)

    def verdict(self, claim: str) -> ClaimRow:
        """Return the verdict on a claim of a group that README gives."""
        (group,) = (name for name, group in CLAIM_GROUPS.items() if claim in group.names and group.in_readme)
        return next(row for row in self._rows(group) if row.name == claim)

    def effect(self, claim: str, *cell: str, of: str = "accuracy_last", control: str | None = None) -> str:
        """Return the effect of one comparison of a claim with its interval, ``+2.3 points [+0.8, +3.8]``.

        The interval is corrected for all comparisons of the claim's family.

        Args:
            claim: its name.
            cell: parts of the title of its cell, which no other cell has all of.
            of: the statistic.
            control: its name; None for the claim's own comparison.
        """
        return effect(self._compared(claim, cell, of, control))

    def answer(self, claim: str, *cell: str, of: str = "accuracy_last", control: str | None = None) -> Answer:
        """Return whether the claim holds in the comparison of :meth:`effect`: ``yes``, ``no`` or ``open``."""
        return self._compared(claim, cell, of, control).answer

    def count(self, claim: str, answer: Answer, *cell: str, of: str | None = None) -> int:
        """Return how many of a claim's own comparisons have an answer, of cells and statistics as in :meth:`effect`."""
        return sum(judged.answer == answer for judged in self._judged(claim, cell, of, None))

    def must_be(self, claim: str, verdict: str) -> str:
        """Return nothing, if a claim of a group has the verdict that the text around it rests on.

        Raises:
            ConfigError: it has another one.
        """
        found = self.verdict(claim).verdict
        if found != verdict:
            raise ConfigError(f"a text says that the claim {claim} is {verdict}; by the records it is {found}")
        return ""

    def must_hold(self, condition: bool, text: str) -> str:
        """Return nothing, if what ``text`` says is so.

        Raises:
            ConfigError: it is not.
        """
        if not condition:
            raise ConfigError(f"a text says {text!r}, and the records do not")
        return ""

    def _compared(self, claim: str, cell: Sequence[str], statistic: str, control: str | None) -> Judged:
        found = self._judged(claim, cell, statistic, control)
        if len(found) != 1:
            raise ConfigError(f"{claim}: {len(found)} comparisons have {', '.join(cell)} and {statistic}; legal: one")
        return found[0]

    def _judged(self, claim: str, cell: Sequence[str], statistic: str | None, control: str | None) -> list[Judged]:
        (group,) = (group for group in CLAIM_GROUPS.values() if claim in group.names)
        results = _results(tuple(self.folder / f"{suite}.jsonl" for suite in group.suites))
        return [
            part.judged
            for part in results[claim].parts
            if part.control == control
            and (statistic is None or part.judged.comparison.statistic.name == statistic)
            and all(text in part.judged.comparison.cell for text in cell)
        ]

    def _rows(self, group: str) -> list[ClaimRow]:
        held = CLAIM_GROUPS[group]
        rows = _claims(tuple(self.folder / f"{suite}.jsonl" for suite in held.suites))
        return [rows[name] for name in held.names]

    def _board(self, suite: str, network: str) -> ShownBoard:
        found = _boards(self.folder / f"{suite}.jsonl").get(network, [])
        if len(found) != 1:
            raise ConfigError(f"{suite}: {len(found)} leaderboards of {network}; legal: one")
        return found[0]

    def _one(self, suite: str, kind: str, axes: Mapping[str, Any]) -> Record:
        return select_one(suite, self.records(suite), kind, axes)

    def _runs(self, suite: str, axes: Mapping[str, Any]) -> list[Record]:
        return select_runs(suite, self.records(suite), axes)

    def _same(self, suite: str, name: str) -> str:
        values = {str(record.environment[name]) for record in self.records(suite)}
        if len(values) != 1:
            raise ConfigError(f"{suite}: its records have {name} = {', '.join(sorted(values))}; legal: one value")
        return values.pop()


def _seconds(records: Iterable[Record]) -> float:
    times = [record.timing for record in records if record.timing is not None]
    return math.fsum(time.work_seconds + time.overhead_seconds for time in times)


def _with_interval(ratio: float, interval: tuple[float, float] | None) -> str:
    return f"{ratio:.2f}" if interval is None else f"{ratio:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


@cache
def _records(file: Path) -> Sequence[Record]:
    _, records, _ = read_files([file])
    return list(records)


@cache
def _fits(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


@cache
def _boards(file: Path) -> dict[str, list[ShownBoard]]:
    return leaderboard(read_inputs([file])).boards


@cache
def _provider(files: tuple[Path, ...]) -> RecordProvider:
    return RecordProvider(_each_once(files))


@cache
def _results(files: tuple[Path, ...]) -> dict[str, ClaimResult]:
    return {result.claim.name: result for result in evaluate(load_claims(), _provider(files))}


@cache
def _claims(files: tuple[Path, ...]) -> dict[str, ClaimRow]:
    return {row.name: row for row in claim_rows_of(_provider(files))}


def _each_once(files: Iterable[Path]) -> list[Record]:
    return list({record.id: record for file in files for record in _records(file)}.values())


def _memory(record: Record) -> Memory:
    if record.memory is None:
        raise ConfigError(f"the record {record.id} has no bytes; its status is {record.status}")
    return record.memory


def _latency(record: Record) -> Latency:
    if record.latency is None:
        raise ConfigError(f"the record {record.id} has no step time; its status is {record.status}")
    return record.latency
