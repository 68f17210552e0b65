"""Spans of modules in a step."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from bench.store.measurements.base import Frozen, Phases, require_one_length

Moment = Annotated[float, Field(ge=-1e9, le=1e9)]  # seconds from the first span


class Trace(Frozen):
    """The spans of ``steps`` training steps, as columns of one length: which module computes when.

    A record has no trace if it would have more than 1,000 spans.

    Attributes:
        steps: number of steps.
        rank: rank of each span; 0 with one process.
        module: module of each span, from 1; None for the trunk and for work that belongs to no single module.
        phase: one letter per span: ``f`` forward, ``b`` backward, ``s`` optimizer step, ``w`` waiting for another rank.
        start_seconds: start of each span after that of the first span, on one clock for all ranks.
        end_seconds: end of each span, on the same clock.
    """

    steps: Annotated[int, Field(ge=1)]
    rank: list[int]
    module: list[int | None]
    phase: Phases
    start_seconds: list[Moment]
    end_seconds: list[Moment]

    @model_validator(mode="after")
    def _has_spans_of_some_length(self) -> Self:
        require_one_length({name: value for name, value in self if name != "steps"})
        if self.end_seconds and max(self.end_seconds) <= 0:
            raise ValueError("its spans end before they begin, or take no time")
        return self
