"""The command line: ``sid-bench run | plan | report | doctor | list``."""

import typer

from bench.cli.console import friendly
from bench.cli.doctor import doctor
from bench.cli.list import list_
from bench.cli.plan import plan
from bench.cli.report import report
from bench.cli.run import run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measures what training without global backpropagation costs and gives: SID against BP.",
)
app.command("run")(friendly(run))
app.command("plan")(friendly(plan))
app.command("report")(friendly(report))
app.command("doctor")(friendly(doctor))
app.command("list")(friendly(list_))
