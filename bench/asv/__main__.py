"""Measures listed commits, publishes what is stored, and draws it: ``python -m bench.asv``.

Exit codes: 0 everything is measured; 2 refused, or something could not be measured.
"""

import argparse
import platform
import re
import subprocess
import sys
from pathlib import Path

from asv.config import Config
from asv.util import UserError

from bench.asv.commits import hash_of, listed_commits
from bench.asv.environment import make_environment
from bench.asv.machine import make_known
from bench.asv.picture import draw_history
from bench.errors import BenchError, StoreError

_EXIT_ERROR = 2
_SOME_FAILED = 2  # exit code of ``asv run``: the results of the others are stored


def main() -> None:
    """Measure what is not stored, then publish and draw all that is."""
    options = _options()
    try:
        configuration = Config.load("asv.conf.json")
        results = Path(configuration.results_dir)
        hashes = listed_commits(options.commits or results / "commits.txt", options.last)
        if options.also is not None:
            hashes.append(hash_of(options.also, "--also"))
        make_known(options.machine, results)
        make_environment(configuration)
        code = _asv(
            *("run", "--machine", options.machine, "--skip-existing-successful", "--show-stderr", "HASHFILE:-"),
            *(("--bench", options.bench) if options.bench else ()),
            text="\n".join(dict.fromkeys(hashes)),
        )
        if code in (0, _SOME_FAILED):
            code = _asv("publish") or code
            _draw(configuration, options.machine, options.picture or Path("reports", options.machine, "history.svg"))
    except (BenchError, UserError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(_EXIT_ERROR)
    sys.exit(_EXIT_ERROR if code else 0)


def _draw(configuration: Config, machine: str, path: Path) -> None:
    try:
        svg = draw_history(configuration, machine)
    except StoreError as error:
        sys.stderr.write(f"no picture: {error}\n")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")
    sys.stdout.write(f"{path}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.asv", description=__doc__)
    parser.add_argument("--last", type=_count, metavar="N", help="measure the last N of the listed commits")
    parser.add_argument("--also", metavar="COMMIT", help="also measure this commit, such as HEAD")
    parser.add_argument("--machine", default=platform.node(), help="name of this machine in results [%(default)s]")
    parser.add_argument("--bench", type=_pattern, metavar="REGEX", help="measure these benchmarks only, such as memory")
    parser.add_argument("--commits", type=Path, metavar="FILE", help="the list [commits.txt beside the results]")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to draw [reports/MACHINE/history.svg]")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; legal: an integer of 1 or more")
    return int(text)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r}, {error}; legal: a regular expression, such as memory") from None
    return text


def _asv(*arguments: str, text: str | None = None) -> int:
    return subprocess.run([sys.executable, "-m", "asv", *arguments], input=text, text=True, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    main()
