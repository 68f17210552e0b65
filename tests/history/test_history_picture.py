"""The picture shows what asv has stored: the committed one what is committed."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from asv.config import Config

from bench.asv.picture import describe, draw_history, history_points
from bench.asv.results import history_frame
from bench.errors import StoreError

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "asv"
BYTES = "memory.Cascade.track_activation_bytes"
RATIO = "latency.Ratio.track_ratio"
METHODS = ["bp", "sid-streamed"]
WAYS = ["all together", "in pairs"]


def configuration(results: Path) -> Config:
    found = Config()
    found.results_dir = str(results)
    return found


def description_of(svg: str) -> str:
    found = re.search(r"<desc>(.*?)</desc>", svg, flags=re.DOTALL)
    assert found is not None
    return unescape(found[1])


def marks_of(svg: str) -> int:
    return len(re.findall(r'class="mark"', svg))


def test_the_committed_picture_shows_the_committed_results() -> None:
    svg = (ROOT / "reports" / "reference" / "history.svg").read_text(encoding="utf-8")
    points = history_points(history_frame(configuration(COMMITTED), "reference"))
    assert description_of(svg) == describe(points)
    assert marks_of(svg) == len(points)


@pytest.mark.parametrize("quantity", ["MiB", "ratio"])
def test_the_committed_history_has_a_quantity_of_every_listed_commit(quantity: str) -> None:
    lines = (COMMITTED / "commits.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split()[0] for line in lines if not line.startswith("#")]
    points = history_points(history_frame(configuration(COMMITTED), "reference"))
    shown = points[points["quantity"] == quantity]
    assert len(listed) >= 12
    assert list(shown["commit"].unique()) == listed
    assert shown.groupby("method")["y"].nunique()["sid-streamed"] > 1


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Made-up results of three commits, the last timed in another way, and of one that lacks a method."""
    benchmarks: dict[str, Any] = {"version": 2}
    of_bytes = {"param_names": ["depth", "method"], "params": [["4", "64"], [repr(name) for name in METHODS]]}
    of_ratios = {"param_names": ["timing", "method"], "params": [[repr(way) for way in WAYS], [repr("sid-streamed")]]}
    for name in (BYTES, *(RATIO.replace("ratio", end) for end in ("ratio", "low", "high"))):
        described = of_bytes if name == BYTES else of_ratios
        benchmarks[name] = {"name": name, "version": "1", "type": "track", "unit": "", **described}
    (tmp_path / "benchmarks.json").write_text(json.dumps(benchmarks))
    for number, way in enumerate(["in pairs", "in pairs", "all together"]):
        stored = {BYTES: [[1, 2, (4 + number) * 2**20, None if number == 0 else 2**20], of_bytes["params"], "1"]}
        for end, ratio in (("ratio", 0.5), ("low", 0.4), ("high", 0.8)):
            values = [ratio + number if name == way else float("nan") for name in WAYS]
            stored[RATIO.replace("ratio", end)] = [values, of_ratios["params"], "1"]
        write_result(tmp_path, number, stored)
    return tmp_path


def write_result(results: Path, number: int, stored: dict[str, Any]) -> None:
    content = {
        "version": 2,
        "commit_hash": str(number) * 40,
        "env_name": "env",
        "date": 1_700_000_000_000 + number,
        "params": {"machine": "here"},
        "python": "3.11",
        "requirements": {},
        "env_vars": {},
        "result_columns": ["result", "params", "version"],
        "results": stored,
        "durations": {},
    }
    (results / "here").mkdir(exist_ok=True)
    (results / "here" / "machine.json").write_text(json.dumps({"machine": "here", "version": 1}))
    (results / "here" / f"{str(number) * 8}-env.json").write_text(json.dumps(content))


def test_every_number_is_drawn_and_said(results: Path) -> None:
    svg = draw_history(configuration(results), "here")
    said = description_of(svg)
    assert "0000000: activations at depth 64, MiB: bp 4.000." in said
    assert "2222222: activations at depth 64, MiB: bp 6.000, sid-streamed 1.000." in said
    assert "1111111: step latency / BP (in pairs): sid-streamed 1.500 [1.400, 1.800]." in said
    assert "2222222: step latency / BP (all together): sid-streamed 2.500 [2.400, 2.800]." in said
    assert marks_of(svg) == 5 + 3
    assert ">in pairs<" in svg
    assert ">all together<" in svg


def test_bytes_alone_are_a_picture(results: Path) -> None:
    for file in (results / "here").glob("*-env.json"):
        content = json.loads(file.read_text())
        content["results"] = {BYTES: content["results"][BYTES]}
        file.write_text(json.dumps(content))
    svg = draw_history(configuration(results), "here")
    assert marks_of(svg) == 5
    assert "latency" not in description_of(svg)


def test_results_of_another_version_are_left_out(results: Path) -> None:
    file = results / "here" / "11111111-env.json"
    file.write_text(file.read_text().replace('"1"]', '"2"]'))
    points = history_points(history_frame(configuration(results), "here"))
    assert set(points["commit"].str[0]) == {"0", "2"}


def test_what_there_is_nothing_to_draw_of_is_refused(results: Path) -> None:
    with pytest.raises(StoreError, match="no results of the machine 'other'"):
        draw_history(configuration(results), "other")
    for file in (results / "here").glob("*-env.json"):
        content = json.loads(file.read_text())
        del content["results"][BYTES]
        content["results"] = {RATIO: [[float("nan")] * 2, *content["results"][RATIO][1:]]}
        file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="no results of the machine 'here'"):
        draw_history(configuration(results), "here")
