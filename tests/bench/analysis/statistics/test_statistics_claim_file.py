"""The file of claims: those of the paper are complete, and an illegal file is refused with its field."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bench.analysis.statistics.claim_file import load_claims
from bench.config.methods import known_method
from bench.errors import ConfigError

ROOT = Path(__file__).parents[4]

LEGAL = """
[[claim]]
name = "a"
sentence = "A is faster than B."
source = "here"
family = "time"
expect = "better"
statistics = ["step_time"]
margin = 3
method = { method = "sid-streamed", alpha = 0.3 }
against = { method = "bp" }
where = { dataset = ["digits"] }
each = { depth = [4, 16] }
[[claim.controls]]
name = "checkpoints"
against = { method = "bp", recompute = "modules" }
"""


def test_the_claims_of_the_paper_cover_what_was_asked() -> None:
    claims = {claim.name: claim for claim in load_claims()}
    assert {claim.family for claim in claims.values()} >= {
        "locking",
        "memory",
        "time",
        "accuracy",
        "robustness",
        "depth",
    }
    robust = claims["robust-to-noise"]
    assert len(robust.each["noise_kind"]) == 4
    assert {"accuracy_last", "accuracy_chosen"} <= set(robust.statistics)
    assert len(robust.controls) >= 5
    for claim in claims.values():
        assert claim.sentence.endswith(".")


def test_methods_of_claims_are_known_or_announced() -> None:
    claims = load_claims()
    sides = [side for claim in claims for side in (claim.method, claim.against) if side is not None]
    sides += [side for claim in claims for control in claim.controls for side in control.against]
    assert {side["method"] for side in sides if known_method(side["method"]) is None} <= {"bp-bootstrap"}


def test_the_claims_come_with_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    data = patterns["tool"]["setuptools"]["package-data"]["bench"]
    for file in (ROOT / "bench").rglob("*.toml"):
        assert any(fnmatch(file.relative_to(ROOT / "bench").as_posix(), pattern) for pattern in data), file


def test_a_legal_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(LEGAL, encoding="utf-8")
    (claim,) = load_claims(file)
    assert (claim.margin, dict(claim.method), claim.each["depth"]) == (
        3,
        {"method": "sid-streamed", "alpha": 0.3},
        [4, 16],
    )
    assert claim.controls[0].against[0]["recompute"] == "modules"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[[claim]]", "[[clam]]", "unknown key 'clam'"),
        (LEGAL, "", r"no \[\[claim\]\]"),
        (LEGAL, "claim = 3", r"no \[\[claim\]\]"),
        (LEGAL, "[[claim", "is not a TOML file"),
        ('name = "a"\n', "", "claim 1: name"),
        ('name = "a"\n', 'name = ""\n', "name"),
        ('expect = "better"', 'expect = "best"', "expect"),
        ('["step_time"]', '["steptime"]', "did you mean step_time"),
        ('["step_time"]', "[]", "statistics"),
        (
            '["step_time"]',
            '[["step_time"]]',
            r"statistics.0 = \['step_time'\]; legal: a list of one or more of step_time, ",
        ),
        ('["step_time"]', "[{ a = 1 }]", r"statistics.0 = \{'a': 1\}; legal: a list of one or more of step_time, "),
        (
            'name = "checkpoints"',
            'name = "c"\nstatistics = [["x"]]',
            r"controls.0.statistics.0 = \['x'\]; legal: a list of",
        ),
        ("margin = 3", "margin = true", "margin = True; legal: a number of 0 or more"),
        ("margin = 3", 'margin = "3"', "margin = '3'; legal: a number of 0 or more"),
        ('["step_time"]', '["accuracy_by_module"]', "against"),
        ('against = { method = "bp" }\n', "", "against"),
        ("margin = 3", "margin = -1", "margin"),
        ("margin = 3", "margin = nan", "margin"),
        ("margin = 3\n", "", "margin"),
        ("alpha = 0.3", "alpha = 3", "alpha = 3; legal"),
        ("alpha = 0.3", "alpah = 0.3", "did you mean alpha"),
        ('method = "sid-streamed", ', "", "method is missing"),
        ('"bp", recompute', '"bp-checkpoint", recompute', "short for 'bp'"),
        ('"modules"', '"module"', "recompute = 'module'; legal"),
        ('["digits"]', '"digits"', "dataset = 'digits'; legal: a list"),
        ("[4, 16]", "[]", "depth"),
        ("[4, 16]", '["4"]', "depth = '4'; legal"),
        ('name = "checkpoints"', 'nmae = "checkpoints"', "controls"),
        ('name = "checkpoints"', 'name = "c"\nstatistics = ["x"]', "unknown statistic 'x'"),
        (
            'name = "checkpoints"',
            'name = "c"\nstatistics = ["accuracy_by_module"]',
            "control 'c' has the statistic 'accuracy_by_module', which compares modules of one method",
        ),
        ('source = "here"', 'source = "here"\nstrange = 1', "strange"),
        ('expect = "better"', 'expect = "best"', "expect = 'best'; legal: better, equivalent, no worse"),
        ("margin = 3\n", "", "margin is missing; legal: a number of 0 or more"),
        ("margin = 3", "margin = -1", "margin = -1; legal: a number of 0 or more"),
        ('name = "a"\n', "name = 3\n", "name = 3; legal: a text that is not empty"),
        ('["step_time"]', "[]", r"statistics = \[\]; legal: a list of one or more of step_time, "),
        ('["step_time"]', '"step_time"', "statistics = 'step_time'; legal: a list of one or more of step_time, "),
        ('source = "here"', 'source = "here"\nsentense = 1', "unknown key 'sentense'; did you mean sentence"),
        ('name = "checkpoints"', 'nmae = "checkpoints"', r"controls.0.name is missing; legal: a text"),
        ('name = "checkpoints"', 'name = "checkpoints"\nmargin = 3', "controls.0.margin: unknown key 'margin'"),
        ("each = { depth = [4, 16] }", "each = 3", "each = 3; legal: axes, with a list of values each"),
        (
            '[[claim.controls]]\nname = "checkpoints"',
            '[[claim.controls]]\nname = "c"\nagainst = { method = "bp" }\n[[claim.controls]]\nname = "c"',
            "controls with name = 'c' occur twice",
        ),
    ],
)
def test_an_illegal_file_is_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in LEGAL
    file = tmp_path / "mine.toml"
    file.write_text(LEGAL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=named) as raised:
        load_claims(file)
    assert str(file) in str(raised.value)


def test_equivalence_of_an_estimate_needs_a_margin(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(LEGAL.replace('"better"', '"equivalent"').replace("margin = 3", "margin = 0"), encoding="utf-8")
    with pytest.raises(ConfigError, match="legal: a number above 0"):
        load_claims(file)


def test_a_missing_file_and_a_repeated_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "none.toml"))):
        load_claims(tmp_path / "none.toml")
    file = tmp_path / "twice.toml"
    file.write_text(LEGAL + LEGAL, encoding="utf-8")
    with pytest.raises(ConfigError, match="claim a occurs twice"):
        load_claims(file)
