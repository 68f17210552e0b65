"""Damaged suite files: a sweep, or an error that names the file."""

import random
import re
from pathlib import Path

import pytest

from bench.config.axes import axes
from bench.config.label import label
from bench.config.sweep import load_sweep, suite_names
from bench.errors import ConfigError

SUITES = Path(__file__).parents[3] / "bench" / "config" / "suites"
TEXTS = [(SUITES / f"{name}.toml").read_text(encoding="utf-8") for name in suite_names() if name != "noise"]
ENTRY = re.compile(r"(?m)^(\w+) = (.*)$")
ODD_VALUES = [
    *("true", "1e999", "nan", "inf", "-1", "0", "1.5", "10000000001", "9" * 18, "9" * 5000, '""', '"é"', '"\\u0000"'),
    *("[]", "[[]]", "[1, [2, 3]]", "[nan]", "[true, false]", "[0.3, 'a']", "[[0.3, 0.7]]", "{a = 1}", "2020-01-01"),
    *('"depth"', '"depth/2"', '"depth/0"', '"depth/' + "9" * 5000 + '"', '"0.9..0.1"', '"nan..0.1"', '"1e400..0.1"'),
    *('"a.py:b"', '"' + "x" * 400 + '.py:u"', '"x:y"', '"os:path"', '"image-folder:"', '"cuda:1"'),
    "[" * 3000 + "]" * 3000,
]


def mutated(chance: random.Random) -> str:
    """A suite in which a few characters, lines, keys or values are others."""
    text = chance.choice(TEXTS)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(text))
        entries = list(ENTRY.finditer(text))
        kind = chance.randrange(5) if entries else 0
        if kind == 0:
            text = text[:place] + chr(chance.randrange(0x300)) + text[place + 1 :]
        elif kind == 1:
            text = text[:place] + text[place + chance.randint(1, 9) :] + " "
        elif kind == 2:
            lines = text.split("\n")
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
            text = "\n".join(lines)
        else:
            entry, group = chance.choice(entries), kind - 2
            other = chance.choice(list(axes()) if group == 1 else ODD_VALUES)
            text = text[: entry.start(group)] + other + text[entry.end(group) :]
    return text


def check(path: Path, seed: int) -> None:
    path.write_text(mutated(random.Random(seed)), encoding="utf-8")
    message = ""
    try:
        cells = load_sweep(str(path)).cells
        assert len({cell.id for cell in cells}) == len(cells) >= 1
        assert all(label(cell) for cell in cells)
    except ConfigError as error:
        message = str(error)
    assert message == "" or str(path) in message, message


@pytest.mark.long
def test_a_damaged_suite_is_a_sweep_or_an_error(tmp_path: Path) -> None:
    for seed in range(300):
        check(tmp_path / "mine.toml", seed)


@pytest.mark.slow
def test_many_damaged_suites_are_sweeps_or_errors(tmp_path: Path) -> None:
    for seed in range(1000, 5000):
        check(tmp_path / "mine.toml", seed)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("depth = " + "9" * 5000, "is not a TOML file: Exceeds the limit"),
        ("depth = " + "[" * 3000 + "]" * 3000, "is not a TOML file: maximum recursion depth exceeded"),
        ('modules = "depth/' + "9" * 5000 + '"', "grid 2: modules = 'depth/9"),
        ("depth = 9999999999\nmodules = 4", "grid 2: modules = 4 does not divide depth = 9999999999; legal: [1, 3, "),
        ('network = "' + "x" * 400 + '.py:units"', "grid 2: xxx"),
        (
            'method = "sid-streamed"\nmodules = "depth"\ndepth = 100000000000\nalpha = "0.9..0.1"',
            "for modules = 100000000000; legal: one number, or at most 1000000 modules",
        ),
    ],
    ids=["many digits", "deep", "divisor", "divisors", "long name", "alpha"],
)
def test_values_beyond_all_bounds_are_errors(tmp_path: Path, entry: str, expected: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[[grid]]\nmethod = "bp"\n[[grid]]\n{entry}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(f"{path}") + ".*" + re.escape(expected)):
        load_sweep(str(path))
