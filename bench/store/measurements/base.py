"""What all measurements share: they are frozen, and their numbers finite."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=0)]  # bytes, or a count
Amount = Annotated[float, Field(ge=0)]  # seconds, or a ratio of two sizes or times
Phases = Annotated[str, Field(pattern="^[fbsw]*$")]


class Frozen(BaseModel):
    """A part of a record, which does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def require_one_length(columns: Mapping[str, Sequence[object] | None]) -> None:
    """Check that all columns have as many entries.

    Raises:
        ValueError: they differ.
    """
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {', '.join(f'{name} {size}' for name, size in lengths.items())}")
