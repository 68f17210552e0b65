"""The markup of a drawing with fewer characters and fewer elements, which looks the same."""

import re

_GROUP = re.compile(r"(<g>|<g [^>]*>|</g>)")
_STYLE = re.compile(r'style="([^"]*)"')
_PATH = re.compile(r' d="([^"]*)"')
_AFTER = re.compile(r"([:;,]) ")
_NUMBER = re.compile(r"-?\d+\.\d+")


def compacted(svg: str, grid: str) -> str:
    """Return ``svg`` without groups that say nothing, without spaces that separate nothing, and with shorter paths.

    The points of paths are rounded to tenths of a point, and lines of the grid are not clipped.

    Args:
        svg: the element as matplotlib writes it.
        grid: colour of the lines of the grid, ``#rrggbb``.
    """
    svg = _PATH.sub(lambda found: f' d="{_shorter_path(found[1])}"', svg)
    svg = _STYLE.sub(lambda found: _AFTER.sub(r"\1", found[0]), svg)
    svg = re.sub(rf' clip-path="[^"]*"( style="fill:none;stroke:{grid}[;"])', r"\1", svg)
    return _without_plain_groups(svg)


def _shorter_path(path: str) -> str:
    path = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), path)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", path).replace(" -", "-").strip()


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
