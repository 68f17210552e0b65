"""README's generated parts, the findings and the evidence: templates filled with numbers of the records."""

import re
import textwrap
from collections.abc import Mapping
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined

from bench.errors import ConfigError
from bench.reference.numbers import Numbers
from bench.reference.tables import accuracy_table, costs_table, fits_table, most_accurate

_WIDTH = 120
_WRAPPED = re.compile(r"- |\w|\*|\[|`")  # how a paragraph or an item of a list begins
_KEPT_TOGETHER = re.compile(r"(?<=\d) (?=%)|(?<=\d,) (?=[-+\d.]+\])")  # in "37 %" and "[0.85, 0.90]"


def rendered(template: str, numbers: Numbers) -> str:
    """Return the text of ``templates/TEMPLATE.md.j2`` for ``numbers``, wrapped.

    Raises:
        ConfigError: the template names records that are not there.
    """
    environment = Environment(loader=FunctionLoader(_source), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    tables = (accuracy_table, costs_table, fits_table, most_accurate)
    environment.globals.update(numbers=numbers, **{table.__name__: table for table in tables})
    return _wrapped(environment.get_template(template).render()).rstrip("\n") + "\n"


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """Return ``text`` with what stands between ``<!-- NAME: ... -->`` and ``<!-- end of NAME -->`` replaced by blocks.

    Raises:
        ConfigError: a block has no place in the text, or several.
    """
    for name, block in blocks.items():
        place = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)", flags=re.DOTALL)
        found = place.findall(text)
        if len(found) != 1:
            raise ConfigError(f"{len(found)} places <!-- {name}: ... --> to <!-- end of {name} -->; legal: one")
        text = place.sub(lambda match, block=block: f"{match[1]}{block.strip()}\n{match[2]}", text)  # type: ignore[misc]
    return text


def _source(name: str) -> str:
    return (resources.files("bench.reference") / "templates" / f"{name}.md.j2").read_text(encoding="utf-8")


def _wrapped(text: str) -> str:
    """Return Markdown with each paragraph and each item wrapped; tables, headings, code, comments stay as they are."""
    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("```") else _wrapped_prose(part) for part in parts)


def _wrapped_prose(text: str) -> str:
    return "\n\n".join(_wrapped_block(block) for block in re.split(r"\n{2,}", text))


def _wrapped_block(block: str) -> str:
    items = re.split(r"\n(?=- )", block)
    return "\n".join(_wrapped_item(item) for item in items)


def _wrapped_item(item: str) -> str:
    stripped = item.strip("\n")
    if not _WRAPPED.match(stripped):
        return item
    before, after = (item[: len(item) - len(item.lstrip("\n"))], item[len(item.rstrip("\n")) :])
    indent = "  " if stripped.startswith("- ") else ""
    lines = textwrap.wrap(
        _KEPT_TOGETHER.sub("\u00a0", " ".join(stripped.split())),
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return before + "\n".join(lines).replace("\u00a0", " ") + after
