"""A claim: a sentence, the cells that test it, and what it must hold against."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from bench.analysis.statistics.statistic import STATISTICS, Question
from bench.config.axes import axes
from bench.config.cell import Cell
from bench.config.methods import known_method
from bench.errors import unknown


def _check_value(axis: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is legal on ``axis``."""
    if axis not in axes():
        raise ValueError(unknown("axis", axis, axes()))
    field = Cell.model_fields.get(axis)
    legal: Any = axes()[axis].type if field is None else Annotated[field.annotation, *field.metadata]
    try:
        TypeAdapter(legal).validate_python(value)
    except ValidationError:
        raise ValueError(f"{axis} = {value!r}; legal: {axes()[axis].description}") from None


def _selection(values: Any) -> Any:
    """Check axes with one value each, among them ``method``."""
    if isinstance(values, Mapping):
        for axis, value in values.items():
            _check_value(axis, value)
        method = values.get("method")
        if method is None:
            raise ValueError("method is missing; legal: the name of a method")
        row = known_method(method)
        if row is not None and row.alias_of is not None:
            raise ValueError(
                f"method = {method!r}, which is short for {row.alias_of!r}; legal: that, with its settings"
            )
    return values


def _alternatives(values: Any) -> Any:
    """Return a list of selections; of one selection, a list of it."""
    return [values] if isinstance(values, Mapping) else values


def _choices(values: Any) -> Any:
    """Check axes with a list of values each."""
    if isinstance(values, Mapping):
        for axis, choices in values.items():
            if not isinstance(choices, list) or not choices:
                raise ValueError(f"{axis} = {choices!r}; legal: a list of one or more values")
            for value in choices:
                _check_value(axis, value)
    return values


def _statistic(name: Any) -> Any:
    if isinstance(name, str) and name not in STATISTICS:  # what is no text is refused by its type
        raise ValueError(unknown("statistic", name, STATISTICS))
    return name


Selection = Annotated[Mapping[str, Any], BeforeValidator(_selection)]
Choices = Annotated[Mapping[str, list[Any]], BeforeValidator(_choices)]
Alternatives = Annotated[tuple[Selection, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Statistics = Annotated[tuple[Annotated[str, BeforeValidator(_statistic)], ...], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class Control(BaseModel):
    """Something else that a claim must hold against.

    Attributes:
        name: what explains the effect if the claim does not hold against it.
        against: axes of the second method; those that it does not name are as in the claim. Several selections are
            several ways to run one control: of each cell, the first that was measured counts.
        statistics: in place of the claim's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    against: Alternatives
    statistics: Statistics | None = None


class Claim(BaseModel):
    """A claim. It is tested in each cell that ``where`` and ``each`` select, for each of its statistics.

    Attributes:
        name: a short name.
        sentence: what is claimed.
        source: where it is claimed.
        family: the name of the claims whose comparisons Holm's correction counts together.
        expect: what the first method has to be: ``better``, ``equivalent`` or ``no worse``.
        statistics: names in :data:`bench.analysis.statistics.statistic.STATISTICS`.
        margin: the largest difference that does not matter, in per cent or percentage points.
        method: axes of the first method. An axis that belongs to the method (not paired, in the table of axes) and is
            not named has its default.
        against: axes of the second method. Axes that it names may differ from the first method's; any other paired axis
            is the same for both. None where the statistics have a reference of their own.
        where: axes with legal values; the claim is tested in whatever cells there are.
        each: axes with values, every combination of which must have been measured.
        controls: what it must hold against besides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    sentence: Text
    source: Text
    family: Text
    expect: Question
    statistics: Statistics
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    method: Selection
    against: Selection | None = None
    where: Choices = Field(default_factory=dict)
    each: Choices = Field(default_factory=dict)
    controls: tuple[Control, ...] = ()

    @model_validator(mode="after")
    def _names_each_control_once(self) -> "Claim":
        names = [control.name for control in self.controls]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"controls with name = {repeated!r} occur twice; legal: each name once")
        return self

    @model_validator(mode="after")
    def _fits_its_statistics(self) -> "Claim":
        for name in self.statistics:
            statistic = STATISTICS[name]
            if (statistic.reference is None) == (self.against is None):
                legal = "axes of a second method" if statistic.reference is None else "none"
                raise ValueError(f"against = {self.against} for statistic {name!r}; legal: {legal}")
            self._check_margin(name)
        for control in self.controls:
            for name in control.statistics or self.statistics:
                self._check_margin(name)
                if STATISTICS[name].reference is not None:
                    raise ValueError(
                        f"control {control.name!r} has the statistic {name!r}, which compares modules of one method; "
                        "legal: statistics of two methods"
                    )
        return self

    def _check_margin(self, name: str) -> None:
        if self.expect == "equivalent" and self.margin == 0 and not STATISTICS[name].exact:
            raise ValueError(f"margin = 0 for equivalence in {name!r}; legal: a number above 0")
