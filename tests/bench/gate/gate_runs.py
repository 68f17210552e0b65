"""Runs the gate again and again on unchanged code, or once for each planted fault, and writes what it said.

``python tests/bench/gate/gate_runs.py clean --times 20`` writes ``results/gate/clean-runs.jsonl``;
``python tests/bench/gate/gate_runs.py planted`` writes ``planted-runs.jsonl``, and the records of the code
with 10 % of time planted, ``planted.jsonl``. Both need a quiet machine, that of the baseline, and a committed tree.
Clean runs that are in the file stay, so the command goes on where it was cut short. Both put their tables into
``docs/gate.md``, the second with a figure.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plants import plant_bytes, plant_time

from bench.analysis.compare import compare
from bench.analysis.gate import THRESHOLDS
from bench.execute.code import checked_out, commit_named
from bench.report.figures.changes import changes_document
from bench.report.markdown import markdown_table
from bench.store.file import read_records

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "results" / "gate"
PAGE = ROOT / "docs" / "gate.md"
FIGURE = ROOT / "reports" / "reference" / "gate-planted.svg"
EXPECTED = {"bytes": "sid-streamed, ", "time": "sid-streamed, ", "time of BP": "bp, "}
COLUMNS = (
    "run",
    "gate",
    "alarms",
    "bytes compared",
    "times compared",
    "measured twice",
    "largest change of a time",
    "s",
)

Run = dict[str, Any]


def run_gate(code: Path, records: Path) -> Run:
    """The result of the gate for the code in a folder, and how many seconds it took."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "gate", "--json", "--out", str(records)],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode not in (0, 1):
        sys.exit(f"the gate ended with code {ended.returncode}")
    found: Run = json.loads(ended.stdout)
    for change in found["changes"]:
        del change["text"]  # says in words what the other fields hold
    return found | {"seconds": round(time.perf_counter() - start, 1), "commit": commit_named(ROOT, "HEAD")}


def row(name: str, run: Run) -> tuple[object, ...]:
    times = [change for change in run["changes"] if change["quantity"] == "step_time"]
    changes = [change["amount"]["value"] for change in times if change["amount"]]
    alarms = "; ".join(f"{one['quantity'].replace('_', ' ')} {one['effect']}: {one['cell']}" for one in run["alarms"])
    largest = f"{max(changes, key=abs):+.1f} %" if changes else "none"
    bytes_compared = sum(change["quantity"].endswith("bytes") for change in run["changes"])
    again = "yes" if any("second measurement" in line for line in run["said"]) else "no"
    gate = "passed" if run["is_open"] else "failed"
    return name, gate, alarms or "none", bytes_compared, len(times), again, largest, round(run["seconds"])


def write(stem: str, runs: Sequence[Run]) -> None:
    (FOLDER / f"{stem}.jsonl").write_text("".join(f"{json.dumps(run)}\n" for run in runs), encoding="utf-8")
    PAGE.write_text(with_sections(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def read(stem: str) -> list[Run]:
    file = FOLDER / f"{stem}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def with_sections(page: str) -> str:
    """The page with the tables of the committed runs."""
    for stem in ("clean-runs", "planted-runs"):
        runs = read(stem)
        table = markdown_table(COLUMNS, [row(str(run["run"]), run) for run in runs]) if runs else "No run is committed."
        if stem == "planted-runs" and FIGURE.exists():
            table += (
                "\n\n![Change of each time in the code with a slowdown of 10 %](../reports/reference/gate-planted.svg)"
            )
        pattern = rf"(?<=<!-- {stem} -->\n).*?(?=\n<!-- end -->)"
        page = re.sub(pattern, lambda _, table=table: f"\n{table}\n", page, flags=re.DOTALL)
    return page


def drawn() -> str:
    """The figure of the planted time, from the committed records."""
    sides = [read_records(FOLDER / f"{name}.jsonl").latest.values() for name in ("baseline", "planted")]
    compared = compare(*sides, THRESHOLDS)
    return changes_document(compared.changes, THRESHOLDS.time, ("the baseline", "the code with a slowdown of 10 %"))


def clean(times: int) -> int:
    """Runs the gate on the code as it is; returns how many runs raised an alarm."""
    runs = read("clean-runs")
    while len(runs) < times:
        with tempfile.TemporaryDirectory() as records:
            runs.append({"run": len(runs) + 1, **run_gate(ROOT, Path(records) / "run")})
        write("clean-runs", runs)
        print(f"run {len(runs)} of {times}: {runs[-1]['headline']} {runs[-1]['seconds']:.0f} s", flush=True)
    return sum(not run["is_open"] for run in runs)


def planted() -> int:
    """Runs the gate on copies of the code with a fault each; returns how many faults it did not find."""
    baseline = read_records(FOLDER / "baseline.jsonl").latest.values()
    (held,) = {
        record.memory.peak_activation_bytes
        for record in baseline
        if record.memory is not None and (record.cell.network, record.cell.method) == ("cascade-linear", "sid-streamed")
    }
    plants: dict[str, Callable[[Path], None]] = {
        "bytes": lambda code: plant_bytes(code, held // 100 // 4 * 4),
        "time": plant_time,
        "time of BP": lambda code: plant_time(code, "bp"),
    }
    runs: list[Run] = []
    for name, plant in plants.items():
        with checked_out(ROOT, commit_named(ROOT, "HEAD")) as code, tempfile.TemporaryDirectory() as records:
            plant(code)
            runs.append({"run": name, **run_gate(code, Path(records) / "run")})
            if name == "time":
                shutil.copy(Path(records) / "run" / "head.jsonl", FOLDER / "planted.jsonl")
                FIGURE.write_text(drawn(), encoding="utf-8")
        write("planted-runs", runs)
        print(f"{name}: {runs[-1]['headline']} {runs[-1]['seconds']:.0f} s", flush=True)
    return sum(not any(alarm["cell"].startswith(EXPECTED[run["run"]]) for alarm in run["alarms"]) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["clean", "planted"])
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    sys.exit(1 if (clean(given.times) if given.what == "clean" else planted()) else 0)


if __name__ == "__main__":
    main()
