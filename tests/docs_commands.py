"""Runs commands of ``sid-bench`` one after the other in this process, with cells in processes of one fork server.

Reads from standard input a JSON list of commands, each with its environment variables and its arguments, and writes a
JSON list of exit code, standard output and standard error of each. A command with variables has a server of its own.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from unittest import mock

from typer.testing import CliRunner

import bench.cli.measure
from bench.cli.app import app
from bench.config.datasets import load_dataset_row
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor

PRELOAD = load_dataset_row("digits").preload


def run(words: Sequence[str], server: ForkServer) -> tuple[int, str, str]:
    make_executor = mock.patch.object(bench.cli.measure, "make_executor", lambda it: ForkServerExecutor(it, server))
    with make_executor:
        ended = CliRunner().invoke(app, words)
    fault = "" if ended.exception is None or isinstance(ended.exception, SystemExit) else repr(ended.exception)
    return ended.exit_code, ended.stdout, ended.stderr + fault


def main() -> None:
    commands: list[tuple[Mapping[str, str], Sequence[str]]] = json.load(sys.stdin)
    ended = []
    with ForkServer(PRELOAD) as shared:
        for variables, words in commands:
            if variables:
                with mock.patch.dict(os.environ, variables), ForkServer(PRELOAD) as own:
                    ended.append(run(words, own))
            else:
                ended.append(run(words, shared))
    json.dump(ended, sys.stdout)
