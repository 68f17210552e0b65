"""Stored results of asv as a table, one row per commit, benchmark and combination of parameters."""

from ast import literal_eval
from collections.abc import Iterator
from itertools import product
from typing import Any

import pandas as pd
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.results import iter_results_for_machine

from bench.errors import StoreError


def history_frame(configuration: Config, machine: str) -> pd.DataFrame:
    """Return what is stored of ``machine``, oldest commit first, without what was skipped and of older versions.

    Returns:
        A frame with the columns ``commit`` (a hash), ``date``, ``benchmark`` and ``value``, and one for each name of a
        parameter.

    Raises:
        StoreError: nothing is stored.
    """
    benchmarks = Benchmarks.load(configuration)
    rows = [
        row
        for result in iter_results_for_machine(configuration.results_dir, machine)
        for name in sorted(result.get_result_keys(benchmarks))
        for row in _rows(result, name, benchmarks[name])
    ]
    if not rows:
        raise StoreError(f"{configuration.results_dir} holds no results of the machine {machine!r}; measure some first")
    return pd.DataFrame(rows).sort_values(["date", "benchmark"], kind="stable").reset_index(drop=True)


def _rows(result: Any, name: str, benchmark: dict[str, Any]) -> Iterator[dict[str, Any]]:
    parameters = product(*([literal_eval(value) for value in values] for values in benchmark["params"]))
    values = result.get_result_value(name, benchmark["params"])
    for chosen, value in zip(parameters, values, strict=True):
        if value is not None and value == value:  # None for what failed, NaN for what was skipped
            row = {"commit": result.commit_hash, "date": pd.Timestamp(result.date, unit="ms"), "benchmark": name}
            yield {**row, "value": float(value), **dict(zip(benchmark["param_names"], chosen, strict=True))}
