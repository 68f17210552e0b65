"""Tables of the evidence: the costs and the accuracies of several methods on one cell."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.reference.numbers import Numbers
from bench.report.markdown import markdown_table

Methods = Mapping[str, Mapping[str, Any]]


def costs_table(numbers: Numbers, suite: str, cell: Mapping[str, Any], methods: Methods) -> str:
    """Return a table of bytes and step times relative to BP.

    Args:
        numbers: of the records.
        suite: its name.
        cell: the axes that the methods share.
        methods: the axes of each, by the text that names it.
    """
    rows = [
        (
            name,
            numbers.activations(suite, **{**cell, **axes}),
            numbers.time_interval(suite, **{**cell, **axes}),
        )
        for name, axes in methods.items()
    ]
    return markdown_table(("method", "activation bytes, of BP's", "step time / BP's [95 %]"), rows)


def accuracy_table(
    numbers: Numbers,
    suite: str,
    cell: Mapping[str, Any],
    methods: Methods,
    columns: Sequence[tuple[str, str, Mapping[str, Any]]],
    with_seeds: bool = False,
    with_learned: bool = False,
) -> str:
    """Return a table of mean test accuracies in per cent.

    Args:
        numbers: of the records.
        suite: its name.
        cell: the axes that all numbers share.
        methods: the axes of each method, by the text that names it.
        columns: of each its heading, its epoch (as :meth:`Numbers.accuracy` has them) and its axes.
        with_seeds: a column says over how many seeds, of the first of ``columns``.
        with_learned: a column has :meth:`Numbers.learned`, of the first of ``columns``.
    """
    headings = ["method", *(heading for heading, _, _ in columns)]
    headings += [*(["memorised"] if with_learned else []), *(["seeds"] if with_seeds else [])]
    rows = []
    for name, axes in methods.items():
        row = [name, *(numbers.accuracy(suite, epoch, **{**cell, **axes, **more}) for _, epoch, more in columns)]
        first = {**cell, **axes, **columns[0][2]}
        row += [numbers.learned(suite, **first)] if with_learned else []
        row += [str(numbers.seeds(suite, **first))] if with_seeds else []
        rows.append(row)
    return markdown_table(headings, rows)


def most_accurate(numbers: Numbers, suite: str, cell: Mapping[str, Any], methods: Methods, epoch: str = "last") -> str:
    """Return the text that names the method with the highest mean accuracy, of those of :func:`accuracy_table`."""
    return max(methods, key=lambda name: float(numbers.accuracy(suite, epoch, **{**cell, **methods[name]})))


def fits_table(numbers: Numbers, networks: Mapping[str, str], rules: Mapping[str, str], budgets: Sequence[str]) -> str:
    """Return a table of the largest batches, a column per network and budget.

    Args:
        numbers: of the records.
        networks: by the text that names each, the name in a file ``fit-NAME.json`` that ``sid-bench fit NAME --json``
            has printed.
        rules: the rule of each line, by the text that names it.
        budgets: such as ``16GiB``.
    """
    headings, columns = ["method"], [list(rules)]
    for title, network in networks.items():
        fits = [numbers.largest_batches(network, rule) for rule in rules.values()]
        for budget in budgets:
            headings.append(f"{title}, {budget.replace('GiB', ' GiB')}")
            columns.append([f"{largest[budget]:,}" for largest in fits])
    return markdown_table(headings, list(zip(*columns, strict=True)))
