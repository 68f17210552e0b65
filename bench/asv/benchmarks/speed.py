"""Seconds of the harness itself, which compare on one machine only."""

from pathlib import Path
from statistics import median
from time import perf_counter

from .commands import CACHE_SECONDS, COMMAND_SECONDS, knows, start

_CELLS = 11
_SWEEP = """
[[grid]]
dataset = "random"
depth = 1
modules = 1
width = 8
hidden = 8
batch_size = 8
seed = {seeds}
passes = ["memory"]
"""
_PLAN = """
[[grid]]
method = ["bp", "sid-published", "sid-streamed"]
dataset = "random"
depth = [4, 16]
modules = "depth"
batch_size = [32, 128]
passes = ["memory"]
"""
_ARGUMENTS = {
    "plan": ["plan", "plan.toml"],
    "report": ["report", "many.jsonl", "--out", "many.html"],
}
_REPEATS = 3


class Commands:
    """Seconds of a whole command, its start included: a plan of 12 cells, a report of 11 records."""

    params = (["plan", "report"],)
    param_names = ("command",)
    version = "1"
    timeout = COMMAND_SECONDS
    number = rounds = 1
    repeat = _REPEATS
    warmup_time = 0  # setup_cache has run each command once

    def setup_cache(self) -> list[str]:
        folder = Path.cwd()  # which asv keeps for the benchmarks
        (folder / "many.toml").write_text(_SWEEP.format(seeds=list(range(_CELLS))), encoding="utf-8")
        (folder / "plan.toml").write_text(_PLAN, encoding="utf-8")
        has_records = knows(start(folder, "run", "many.toml", "--out", "many.jsonl"))
        return [name for name in _ARGUMENTS if has_records and knows(start(folder, *_ARGUMENTS[name]))]

    setup_cache.timeout = CACHE_SECONDS  # type: ignore[attr-defined]

    def setup(self, known: list[str], command: str) -> None:
        if command not in known:
            raise NotImplementedError

    def time_command(self, _known: list[str], command: str) -> None:
        if not knows(start(Path.cwd(), *_ARGUMENTS[command])):
            raise RuntimeError(f"{command} is refused, which was not when setup_cache ran it")


class Cell:
    """Seconds that one more cell adds to a sweep, whose step takes next to no time: the median of three sweeps."""

    version = "1"
    timeout = COMMAND_SECONDS

    def setup_cache(self) -> float | None:
        folder = Path.cwd()
        seconds = [(_sweep_seconds(folder, 1), _sweep_seconds(folder, _CELLS)) for _ in range(_REPEATS)]
        added = [(many - one) / (_CELLS - 1) for one, many in seconds if one is not None and many is not None]
        return median(added) if added else None

    setup_cache.timeout = CACHE_SECONDS  # type: ignore[attr-defined]

    def setup(self, seconds: float | None) -> None:
        if seconds is None:
            raise NotImplementedError

    def track_overhead(self, seconds: float) -> float:
        return seconds

    track_overhead.unit = "seconds"  # type: ignore[attr-defined]


def _sweep_seconds(folder: Path, cells: int) -> float | None:
    (folder / "sweep.toml").write_text(_SWEEP.format(seeds=list(range(cells))), encoding="utf-8")
    (folder / "sweep.jsonl").unlink(missing_ok=True)
    begin = perf_counter()
    known = knows(start(folder, "run", "sweep.toml", "--out", "sweep.jsonl"))
    return perf_counter() - begin if known else None
