"""What the harness knows about one axis: a row of the table of axes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

ALL_PASSES = frozenset({"memory", "latency", "accuracy", "inference"})


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One field of a cell. Each stage of the harness reads what it needs from here.

    A field of :class:`bench.config.cell.Cell` carries its row in its annotation; name, default and description are the
    field's own. Another package adds an axis with an entry point in the group ``sid_bench.axes`` that names a row with
    all of them. Such a row also has a ``type``, and counts as ``later``.

    Attributes:
        name: of the field.
        default: the value where a cell does not say.
        description: the legal values, then what they mean; shown by ``sid-bench list axes`` and in errors.
        type: of the value, as pydantic takes it.
        bears_on: the passes whose result depends on it.
        size: the bytes of a step never fall as it grows.
        process_memory: the memory of the process depends on it, even where the bytes of a step do not.
        paired: a cell and the BP cell that it is compared with have the same value.
        setting: a choice of how the method works. It is at its default for a method that does not read it.
        requirement: whether the machine and the data fit the cell depends on it; checked once for each combination of
            such axes, before anything runs.
        later: it came after the first results were stored. At its default it stays out of a cell's id.
        panel: a figure of costs keeps it fixed within a panel.
        series: whether it is part of the name of a line in a figure: never, where it is not at its default, or only
            where the line's method comes with several values.
        shown: whether the line that describes a cell always names it, or only where it is not at its usual value.
        expression: a text in a suite may stand for a number that other axes decide.
        text: the value for a person, with its name; by default the name and the value.
    """

    name: str = ""
    default: Any = None
    description: str = ""
    type: Any = None
    bears_on: frozenset[str] = ALL_PASSES
    size: bool = False
    process_memory: bool = False
    paired: bool = True
    setting: bool = False
    requirement: bool = False
    later: bool = False
    panel: bool = False
    series: Literal["never", "unless default", "where several"] = "never"
    shown: Literal["always", "unless usual"] = "unless usual"
    expression: bool = False
    text: Callable[[Any], str] | None = None

    def words(self, value: Any) -> str:
        """``value`` with the axis's name, as a person reads it; None is an axis that is unset."""
        if self.text is None or value is None:
            return f"{self.name.replace('_', ' ')} {value}"
        return self.text(value)
