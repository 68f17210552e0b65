"""What every section of the page is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.analysis.answer.answer import Answer
from bench.analysis.answer.answers import answers_of
from bench.analysis.bp_times import TimesOfBP, times_of_bp
from bench.analysis.files import read_files
from bench.analysis.frame import records_frame
from bench.analysis.statistics.claim import Claim
from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.rows import ClaimRow, claim_rows_of
from bench.report.data.held import Held, held_columns
from bench.store.file import Contents
from bench.store.record import Record

_MOST_WITHOUT_A_SEED = 20_000  # comparisons, which take about three seconds


@dataclass(frozen=True)
class Inputs:
    """The records of a report.

    Attributes:
        files: the results files.
        contents: the records of each file, those that were measured again included.
        records: one per id; :func:`bench.store.latest.latest_records` says which.
        warnings: about files and lines that were left out.
        own_claims: of the user; None: those that come with the package.
        results: the results file that the commands of the answers append to; None: the usual one.
    """

    files: tuple[Path, ...]
    contents: tuple[Contents, ...]
    records: tuple[Record, ...]
    warnings: tuple[str, ...]
    own_claims: tuple[Claim, ...] | None = None
    results: Path | None = None

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per record; see :func:`bench.analysis.frame.records_frame`."""
        return records_frame(self.records)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The rows of records whose status is ``ok``."""
        return self.frame[self.frame["status"] == "ok"]

    @cached_property
    def provider(self) -> RecordProvider:
        """Finds comparisons in the records."""
        return RecordProvider(self.records)

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """The answers on memory, time and accuracy."""
        return answers_of(self.provider, self.measured, None if self.results is None else str(self.results))

    @cached_property
    def claims(self) -> list[ClaimRow]:
        """The verdict on each claim: the user's own, or else those that come with the package."""
        return claim_rows_of(self.provider, self.own_claims, _MOST_WITHOUT_A_SEED)

    @cached_property
    def held(self) -> Held:
        """The records as columns, as the page holds them."""
        return held_columns(self.records, self.frame)

    @cached_property
    def times_of_bp(self) -> TimesOfBP:
        """BP's own step times."""
        return times_of_bp(self.records)


def read_inputs(files: Sequence[Path], claims_file: Path | None = None, results: Path | None = None) -> Inputs:
    """Read the results files, and the claims in ``claims_file``; commands of the answers append to ``results``.

    Raises:
        ConfigError: ``claims_file`` cannot be read, or a claim in it is not legal.
        StoreError: a file cannot be read or is not a results file, or there is no record.
    """
    own_claims = None if claims_file is None else load_claims(claims_file)
    contents, records, warnings = read_files(files)
    return Inputs(tuple(files), tuple(contents), tuple(records), tuple(warnings), own_claims, results)
