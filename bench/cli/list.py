"""``sid-bench list``: names everything that can be named, and says where it comes from."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.words import numbered
from bench.cli.console import out
from bench.config.axes import axes
from bench.config.cell import BUILT_IN_AXES
from bench.config.datasets import dataset_names, load_dataset_row
from bench.config.heads import head_names, load_head
from bench.config.methods import load_method, method_names
from bench.config.networks import load_network, network_names
from bench.config.sweep import load_sweep, suite_names
from bench.errors import ConfigError, unknown

Row = tuple[str, str, str]  # name, summary, source


def list_(
    what: Annotated[
        str | None,
        typer.Argument(help="suites, methods, networks, heads, datasets, axes or claims. \\[default: all of them]"),
    ] = None,
) -> None:
    """List what can be named: suites, methods, networks, heads, data sets, axes, claims.

    What is not our own says where it is from.
    """
    if what is not None and what not in _LISTINGS:
        raise ConfigError(unknown("listing", what, _LISTINGS))
    for name in [what] if what else _LISTINGS:
        table = Table(title=name, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        for entry, summary, source in _LISTINGS[name]():
            table.add_row(Text(entry), Text(summary if source == "sid-bench" else f"{summary} [{source}]"))
        out.print(table)


def _suites() -> Iterable[Row]:
    for name in suite_names():
        sweep = load_sweep(name)
        yield name, f"{sweep.question} {sweep.description} ({numbered(len(sweep.cells), 'cell')})", "sid-bench"


def _axes() -> Iterable[Row]:
    for name, row in axes().items():
        yield name, row.description, "sid-bench" if name in BUILT_IN_AXES else "another package"


def _claims() -> Iterable[Row]:
    for claim in load_claims():
        yield claim.name, claim.sentence, "sid-bench"


def _rows(names: Callable[[], list[str]], load: Callable[[str], Any]) -> Callable[[], Iterable[Row]]:
    """The rows of a registry; one that cannot be loaded says why, and the others are listed all the same."""

    def rows() -> Iterable[Row]:
        for name in names():
            try:
                row = load(name)
                yield name, row.summary, row.source
            except ConfigError as error:
                yield name, str(error), "not usable"

    return rows


_LISTINGS: dict[str, Callable[[], Iterable[Row]]] = {
    "suites": _suites,
    "methods": _rows(method_names, load_method),
    "networks": _rows(network_names, load_network),
    "heads": _rows(head_names, load_head),
    "datasets": _rows(dataset_names, load_dataset_row),
    "axes": _axes,
    "claims": _claims,
}
