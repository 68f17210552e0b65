"""Scripts lose comments and spaces, and nothing else: the tokens that are left are those that were there."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import scripts
from bench.report.scripts import stripped, tokens

FOLDER = Path(scripts.__file__).parent / "script"


def said(script: str) -> list[str]:
    return [token for kind, token in tokens(script) if kind not in ("space", "comment")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("const a = 1;  // one\n", "const a=1;"),
        ("/** Adds. */\nfunction add(a, b) {\n  return a + b;\n}\n", "function add(a,b){return a+b;}"),
        ("const url = \"http://x\";\nconst b = '/* no */';", "const url=\"http://x\";const b='/* no */';"),
        ("`a  ${ `/* b ${c}` } // d`;", "`a  ${ `/* b ${c}` } // d`;"),
        ("`\\`  ${'}'}  ` + 1", "`\\`  ${'}'}  `+1"),
        ("const r = /[/*]  \\/ '/.test(x) ? /a  b/g : 4 / 2 / 1", "const r=/[/*]  \\/ '/.test(x)?/a  b/g:4/2/1"),
        ("return /a  b/", "return/a  b/"),
        ("/a/ in b", "/a/ in b"),
        ("i++ / 2 + a[0] / (3) / `4`", "i++ /2+a[0]/(3)/`4`"),
        ("a + +b - -c + ++d", "a+ +b- -c+ ++d"),
        ("a\n++b\nc\n(d)", "a\n++b\nc\n(d)"),
        ("a.b\n  .c()\n  .d()", "a.b.c().d()"),
        ("1 .toString()\ntypeof x", "1 .toString()\ntypeof x"),
        ("x in y", "x in y"),
        ("a/* b */c", "a c"),
        ("a/* b\n */c", "a\nc"),
        ("const µ = 1;\nµ = $ ;", "const µ=1;µ=$;"),
    ],
)  # fmt: skip
def test_what_separates_nothing_is_left_out(script: str, expected: str) -> None:
    assert stripped(script) == expected


@pytest.mark.parametrize("script", ["const a = 'b", "`${", "`a", "x = /a", '"\n"', "`${ {a: 1} "])
def test_a_script_that_does_not_end_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="does not end"):
        stripped(script)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.js")), ids=lambda file: file.name)
def test_the_tokens_of_each_script_stay(file: Path) -> None:
    script = file.read_text(encoding="utf-8")
    assert "".join(token for _, token in tokens(script)) == script
    short = stripped(script)
    assert said(short) == said(script)
    assert stripped(short) == short
    assert not any(kind == "comment" for kind, _ in tokens(short))
    assert len(short) < len(script)


PIECES = [*"a+-/.(){};2", "b1", "'c  d'", "`e ${ f }`", "/g h/", "++", "--", "=>"]
SPACES = ["", " ", "\n", "  // i\n", "/* j */", "/*\n*/"]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), max_size=12))
def test_the_tokens_of_any_text_stay_in_their_lines(pieces: list[tuple[str, str]]) -> None:
    script = "".join(f"{piece}{space}" for piece, space in pieces)
    try:
        before = said(script)
    except ValueError:  # such as a slash without an end
        return
    assert said(stripped(script)) == before


def test_the_end_of_a_line_stays_where_a_statement_can_end() -> None:
    lines = ["a", "b()", "c[0]", "'d'", "`e`", "f++", "/g/"]
    for first in lines:
        for second in ["a", "(b)", "[c]", "'d'", "`e`", "++f", "-g"]:
            assert "\n" in stripped(f"{first}\n{second}"), (first, second)
