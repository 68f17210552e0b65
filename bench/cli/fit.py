"""``sid-bench fit``: whether a batch of a network fits a memory budget, under which rule and setting."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.analysis.words import numbered
from bench.cli.console import EXIT_FAULT, err, out, warn
from bench.cli.options import LONGEST_SECONDS, DataRoot, Overrides, parse_bytes, with_axis
from bench.cli.results_files import results_files
from bench.cli.table import print_rows
from bench.config.plugins import file_of
from bench.config.sweep import parse_overrides
from bench.errors import ConfigError
from bench.store.text_file import refuse_overlaps, write_bytes, write_text


def fit(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A network (see 'list networks'), a backbone such as resnet50, or your own as FILE.py:units.",
        ),
    ],
    budget: Annotated[str, typer.Option(metavar="BYTES,...", help="Memory, as in 16GiB, or 16GiB,24GiB,80GiB.")],
    image_size: Annotated[
        int | None, typer.Option(metavar="N", help="Pixels a side; the same as --set image_size=N.")
    ] = (None),
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="The batch in question; the same as --set batch_size=N. \\[default: 128]"),
    ] = None,
    modules: Annotated[
        str | None,
        typer.Option(
            metavar="K,...", help="Stages or modules that the network is cut into; the same as --set modules=K,..."
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Rules to plan: 'usual' (BP and SID), 'peers', 'all', and names, which come with their settings.",
        ),
    ] = "usual",
    overrides: Overrides = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Compare predictions with these records, before those that come with sid-bench; may be given often.",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure here first: bytes at a small and a large batch, and times.")
    ] = False,
    measure_seconds: Annotated[
        float,
        typer.Option(
            min=1,
            max=LONGEST_SECONDS,
            metavar="S",
            help="With --measure: about how long all measurements may take.",
        ),
    ] = 300,
    measure_memory: Annotated[
        str, typer.Option(metavar="BYTES", help="With --measure: what a step may need, by its prediction.")
    ] = "2GiB",
    measure_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --measure: append the records to this file. \\[default: they are not kept]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the result as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the rows as CSV.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the largest batches, as FILE.svg or FILE.png.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes of the plan. \\[default: as many as there are usable cores]")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Say which rules let a batch of a network fit a memory budget, and how large a batch can be.

    Bytes are predicted; beside each prediction stands how far predictions of that rule were off where it was measured.
    On a GPU (--set device=cuda), CUDA's context and workspaces, as they were measured, are added.

    Exit codes: 0 the batch fits under one of the rules, into one of the budgets; 1 it does not; 2 refused or failed.
    """
    if figure is not None and figure.suffix not in (".svg", ".png"):
        raise ConfigError(f"--figure {figure}; legal: a file that ends in .svg or .png")
    if measure_out is not None and not measure:
        raise ConfigError(f"--measure-out {measure_out} without --measure, so there are no records to keep")
    budgets = {text: parse_bytes("--budget", text) for text in filter(None, map(str.strip, budget.split(",")))}
    if not budgets:
        raise ConfigError(f"--budget {budget!r}; legal: sizes joined by commas, as in 16GiB,24GiB")
    memory = parse_bytes("--measure-memory", measure_memory)
    files = results_files(results or [])
    from bench.plan.fit.candidates import chosen_methods, find_candidates, network_name

    given = with_axis(with_axis(overrides or [], "image_size", image_size), "batch_size", batch_size)
    if modules is not None:
        if "modules" in parse_overrides(given):
            raise ConfigError(f"--modules {modules} beside --set modules; legal: one of them")
        given = [*given, f"modules={modules}"]
    chosen = network_name(network)
    outputs = [("--markdown", markdown), ("--csv", csv), ("--figure", figure), ("--measure-out", measure_out)]
    written = [(name, path) for name, path in outputs if path is not None]
    refuse_overlaps(written, [*files, *filter(None, [file_of(chosen)])])
    candidates = find_candidates(chosen, chosen_methods(methods), given, data_root)
    for refusal in candidates.refused:
        err.print(f"left out: {refusal.what}: {refusal.reason}", markup=False, highlight=False)
    from bench.analysis.files import tail_warnings
    from bench.analysis.measured import measured_of
    from bench.plan.fit.answer import answer
    from bench.plan.fit.document import notes, table_rows, to_csv_text, to_json, to_markdown
    from bench.plan.fit.fitting import Budget, find_fits  # pandas takes a second to load
    from bench.plan.fit.shipped import shipped
    from bench.store.file import read_records

    contents = [read_records(file) for file in files]
    warn([text for pair in zip(files, contents, strict=True) for text in tail_warnings(*pair)])
    measured = [one for content in contents for one in measured_of(content.latest.values())]
    if measure:
        from bench.cli.fit_measure import Effort, measure_here

        effort = Effort(seconds=measure_seconds, memory_bytes=memory)
        measured = [*measure_here(candidates, effort, measure_out, jobs, _follow, data_root), *measured]
    asked = [Budget(text, size) for text, size in budgets.items()]
    fits = find_fits(candidates, asked, [*measured, *shipped()], jobs, _follow, data_root)
    for refusal in fits.refused[len(candidates.refused) :]:
        err.print(f"left out: {refusal.what}: {refusal.reason}", markup=False, highlight=False)
    if as_json:
        out.print(to_json(fits), end="", markup=False, highlight=False)
    else:
        for sentences in answer(fits):
            out.print(sentences, markup=False, highlight=False)
        heading, *rows = table_rows(fits)
        print_rows(out, heading, rows)
        for note in notes(fits):
            out.print(note, markup=False, highlight=False)
    if markdown is not None:
        write_text(markdown, to_markdown(fits))
    if csv is not None:
        write_text(csv, to_csv_text(fits))
    if figure is not None:
        from bench.plan.fit.figure import to_png, to_svg

        write_bytes(figure, to_png(fits) if figure.suffix == ".png" else to_svg(fits).encode())
    if not fits.any_fits:
        raise typer.Exit(EXIT_FAULT)


def _follow(answers: Iterator[Any], number: int) -> Iterable[Any]:
    if number and not err.is_terminal:  # a log has no bar, and a plan can take minutes
        err.print(f"planning {numbered(number, 'cell')}", highlight=False)
    return track(answers, "planning", number, console=err, transient=True, disable=not err.is_terminal)
