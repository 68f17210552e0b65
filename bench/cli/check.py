"""``sid-bench check``: whether a training rule does what a local rule has to do."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bench.cli.console import EXIT_FAULT, out
from bench.cli.options import Overrides, one_value
from bench.cli.table import print_rows
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import is_compiled, load_method
from bench.config.shapes import Shape, known_shape
from bench.config.sweep import parse_overrides
from bench.errors import ConfigError

_NETWORKS: dict[str, dict[str, Any]] = {
    "cascade-linear": {"depth": 4, "width": 16},
    "pipeline-conv": {"width": 8},
}
_IMAGES: dict[str, Any] = {"dataset": "random", "image_size": 8, "channels": 1}
_AXES: dict[str, Any] = {"hidden": 16, "batch_size": 16, "passes": ["latency"]}
_VERDICTS = {True: "yes", False: "no", None: "not checked"}


def check(
    method: Annotated[
        str, typer.Argument(metavar="RULE", help="FILE.py:NAME, package.module:NAME, or a method's name (see 'list').")
    ],
    overrides: Overrides = None,
) -> None:
    """Check whether a training rule is local, trains every module and adds to gradients.

    The rule runs for a few steps on small networks and random images: on a cascade and on a pipeline, unless --set
    network names others. A rule is local if the gradients of a module do not depend on the modules after it; a trunk,
    which all modules train, is left out.

    One step is looked at, without the optimizer: what a rule keeps from step to step is not seen.

    Exit codes: 0 no fault was found; 1 a check does not hold, or the rule fails; 2 refused.
    """
    given = parse_overrides(overrides or [])
    if "method" in given:
        raise ConfigError(f"--set method={','.join(map(str, given['method']))} beside {method}; legal: RULE alone")
    is_named = "network" in given
    networks = given.pop("network", list(_NETWORKS))
    chosen = {axis: one_value(axis, values, "for a check of a rule") for axis, values in given.items()}
    load_method(method)  # so that an unknown name is told once
    cells: dict[str, tuple[Cell, tuple[Shape, int]]] = {}
    refused: dict[str, str] = {}
    for network in networks:
        try:
            usual = check_axes(network, has_own_images="dataset" in chosen)
            cell = make_cell(usual | chosen | {"method": method})
            cells[network] = (cell, _shape_for(cell))
        except ConfigError as error:
            if is_named:
                raise
            refused[network] = str(error)
    if not cells:
        raise ConfigError("; ".join(dict.fromkeys(refused.values())))
    _show(cells, [f"{network}: not checked: {reason}" for network, reason in refused.items()])


def check_axes(network: str, has_own_images: bool = False) -> dict[str, Any]:
    """The axes of a check on ``network`` that --set does not give; those of the images only if it names no data set."""
    images = {} if has_own_images else _IMAGES
    return {**_AXES, **images, **_NETWORKS.get(str(network), {}), "network": network}


def _shape_for(cell: Cell) -> tuple[Shape, int]:
    """The shape of the images and the number of classes of a cell that can be checked."""
    if cell.ranks > 1:
        raise ConfigError(f"ranks = {cell.ranks}; legal for a check of a rule: 1")
    if cell.modules < 2:
        raise ConfigError(f"modules = {cell.modules}; legal for a check of a rule: 2 or more")
    shape = known_shape(cell)
    if shape is None:
        raise ConfigError(f"dataset = {cell.dataset!r}; legal for a check of a rule: one of a known shape, as random")
    return shape


def _show(cells: Mapping[str, tuple[Cell, tuple[Shape, int]]], notes: list[str]) -> None:
    from bench.execute.device import require_precision, set_threads, use_device  # torch takes a second or two to load
    from bench.execute.failures import describe_failure
    from bench.measure.rule_trial import CHECKS, Finding, try_rule
    from bench.train.compiled import require_compiler

    columns: dict[str, list[str]] = {}
    is_at_fault = False
    for network, (cell, (shape, classes)) in cells.items():
        set_threads(cell.threads, None)
        use_device(cell.device, 1, None)
        require_precision(cell)
        if is_compiled(cell):
            require_compiler(cell)
        run = try_rule(cell, shape, classes)
        try:
            findings = run()
        except Exception as error:
            findings = [Finding(name, None) for name in CHECKS]
            notes.append(f"{network}: the rule fails: {describe_failure(error).message}")
            is_at_fault = True
        columns[network] = [_VERDICTS[finding.holds] for finding in findings]
        notes += [f"{network}: {finding.reason}" for finding in findings if finding.reason]
        is_at_fault |= any(finding.holds is False for finding in findings)
    print_rows(out, ("check", *columns), list(zip(CHECKS, *columns.values(), strict=True)))
    if notes:
        out.print()
    for note in dict.fromkeys(notes):
        out.print(note, markup=False, highlight=False)
    if is_at_fault:
        raise typer.Exit(EXIT_FAULT)
