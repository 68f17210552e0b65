"""The markup of a drawing with fewer characters and fewer elements, which looks the same."""

import re

_GROUP = re.compile(r"(<g>|<g [^>]*>|</g>)")
_STYLE = re.compile(r'style="([^"]*)"')
_STYLE_OF_PATH = re.compile(r' style="([^"]*)"')
_MARKS = re.compile(
    r'(?:<g id="mark:\d+:([^"]*)">(?:<path [^>]*/>)+</g>)(?:<g id="mark:\d+:\1">(?:<path [^>]*/>)+</g>){2,}'
)
_PATH = re.compile(r' d="([^"]*)"')
_TEXT = re.compile(r"<text.*?</text>")
_AFTER = re.compile(r"([:;,]) ")
_MITER = re.compile(r"(?<=[\";])stroke-linejoin:miter;?")
_UNSEEN = re.compile(r'<path d="M[^"]*z"(?: clip-path="[^"]*")? style="fill:none"/>')  # the background of axes
_NUMBER = re.compile(r"-?\d+\.\d+")


def compacted(svg: str, grid: str) -> str:
    """Return ``svg`` without groups that say nothing, without spaces that separate nothing, and with shorter paths.

    The points of paths are rounded to tenths of a point. What has neither a colour nor a line goes. So does the form of
    corners, since lines are too thin for it to be seen. Neighbouring lines of the grid are one path, which is not
    clipped. What the paths of neighbouring marks of a series have in common is said once.

    Args:
        svg: the element as matplotlib writes it.
        grid: colour of the lines of the grid, ``#rrggbb``.
    """
    svg = _PATH.sub(lambda found: f' d="{_shorter_path(found[1])}"', svg)
    svg = _STYLE.sub(lambda found: _MITER.sub("", _AFTER.sub(r"\1", found[0])).replace(';"', '"'), svg)
    svg = _UNSEEN.sub("", svg)
    svg = re.sub(rf' clip-path="[^"]*"( style="fill:none;stroke:{grid}[;"])', r"\1", svg)
    path = r'<path d="[^"]*"'
    of_grid = rf'{path} (style="fill:none;stroke:{grid}[^"]*"/>)(?:(?:<text[^>]*>[^<]*</text>)*{path} \1)+'
    svg = re.sub(of_grid, _one_path, _without_plain_groups(svg))
    return _MARKS.sub(_with_common_style, svg)


def _with_common_style(found: re.Match[str]) -> str:
    """Return neighbouring marks of one series in a group that has the declarations which all of their paths share."""
    styles = [style.split(";") for style in _STYLE.findall(found[0])]
    common = [declaration for declaration in styles[0] if all(declaration in style for style in styles)]
    if not common or len(styles) != found[0].count("<path "):
        return found[0]

    def without_common(style: re.Match[str]) -> str:
        own = [declaration for declaration in style[1].split(";") if declaration not in common]
        return f' style="{";".join(own)}"' if own else ""

    return f'<g style="{";".join(common)}">{_STYLE_OF_PATH.sub(without_common, found[0])}</g>'


def _one_path(found: re.Match[str]) -> str:
    """Return lines of the grid, between which are only their labels, as one path before the labels."""
    lines, labels = _PATH.findall(found[0]), _TEXT.findall(found[0])
    return f'<path d="{"".join(lines)}" {found[1]}{"".join(labels)}'


def _shorter_path(path: str) -> str:
    path = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), path)
    path = re.sub(r"\s*([A-Za-z])\s*", r"\1", path).replace(" -", "-").strip()
    return re.sub(r"M([^A-Z]*)L\1(?![\d.])", r"M\1h0", path)


def _without_plain_groups(svg: str) -> str:
    """Return ``svg`` without the tags of groups that have no attribute."""
    kept: list[str] = []
    is_kept: list[bool] = []
    for part in _GROUP.split(svg):
        if part == "</g>":
            if is_kept.pop():
                kept.append(part)
        elif part.startswith("<g>"):
            is_kept.append(False)
        else:
            if part.startswith("<g ") and not part.endswith("/>"):
                is_kept.append(True)
            kept.append(part)
    return "".join(kept)
