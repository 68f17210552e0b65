"""The command line ``sid-bench``: its commands, and what is done around each."""

import sys

import typer

from bench.cli.cache import cache
from bench.cli.check import check
from bench.cli.claims import claims
from bench.cli.compare import compare
from bench.cli.console import EXIT_ERROR, friendly, print_error
from bench.cli.doctor import doctor
from bench.cli.fit import fit
from bench.cli.gate import gate
from bench.cli.list import list_
from bench.cli.plan import plan
from bench.cli.repeat import repeat
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.streams import guard_streams, lost_output
from bench.cli.trace import trace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measures what training without global backpropagation costs and gives: SID against BP.",
    epilog="Exit codes: 0 done; 1 done, but no cell is ok, or --strict found fault; 2 refused or failed, and the "
    "message says why; 130 interrupted.",
)
app.command("run")(friendly(run))
app.command("repeat")(friendly(repeat))
app.command("plan")(friendly(plan))
app.command("fit")(friendly(fit))
app.command("trace")(friendly(trace))
app.command("check")(friendly(check))
app.command("report")(friendly(report))
app.command("claims")(friendly(claims))
app.command("compare")(friendly(compare))
app.command("gate")(friendly(gate))
app.command("doctor")(friendly(doctor))
app.command("list")(friendly(list_))
app.command("cache")(friendly(cache))


def run_app() -> None:
    """Runs the command; does not return."""
    guard_streams()
    code: str | int | None = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    error = lost_output()
    if error is not None and not isinstance(error, ConnectionError):  # a reader that went away is no fault
        print_error(f"cannot write standard output: {error.strerror}")
        code = code or EXIT_ERROR
    sys.exit(code)
