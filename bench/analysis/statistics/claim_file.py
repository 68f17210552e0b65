"""The claims in a TOML file: those of papers on SID and its peers come with the package."""

from importlib import resources
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from bench.analysis.statistics.claim import Claim, Control
from bench.analysis.statistics.statistic import STATISTICS, Question
from bench.config.toml_file import read_toml
from bench.errors import ConfigError, unknown

_OWN = resources.files("bench.analysis.statistics") / "claims.toml"


def load_claims(path: Path | None = None) -> tuple[Claim, ...]:
    """Return the claims in the file at ``path``, or those that come with the package, in their order.

    A file has one or more tables ``[[claim]]``, whose keys are the fields of
    :class:`bench.analysis.statistics.claim.Claim`.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or a claim is not legal or its name not the only one.
    """
    name = "claims.toml" if path is None else str(path)
    content = read_toml(_OWN if path is None else path, name)
    strange = sorted(set(content) - {"claim"})
    if strange:
        raise ConfigError(f"{name}: {unknown('key', strange[0], ['claim'])}")
    tables = content.get("claim")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{name} has no [[claim]]; legal: one or more")
    claims: dict[str, Claim] = {}
    for number, table in enumerate(tables, 1):
        label = f"{name}: claim {table.get('name', number)}"
        try:
            claim = Claim.model_validate(table)
        except ValidationError as error:
            raise ConfigError(f"{label}: {_describe(error)}") from None
        if claim.name in claims:
            raise ConfigError(f"{label} occurs twice; legal: each name once")
        claims[claim.name] = claim
    return tuple(claims.values())


def _describe(error: ValidationError) -> str:
    """Return the first problem of a claim: the key, its value and the legal ones."""
    problem = error.errors()[0]
    *outer, key = problem["loc"] or ("",)
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        return f"{place + ': ' if place else ''}{problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        keys = Control.model_fields if "controls" in outer else Claim.model_fields
        return f"{place}: {unknown('key', key, keys)}"
    if problem["type"] == "missing":
        return f"{place} is missing; legal: {_legal(place)}"
    return f"{place} = {problem['input']!r}; legal: {_legal(place)}"


def _legal(place: str) -> str:
    """Return the legal values of the key at ``place``, such as ``controls.0.name``."""
    if place.startswith("statistics") or ".statistics" in place:
        return f"a list of one or more of {', '.join(STATISTICS)}"
    key = place.rpartition(".")[2]
    return {
        "expect": ", ".join(get_args(Question)),
        "margin": "a number of 0 or more",
        "controls": "tables [[claim.controls]]",
        "where": "axes, with a list of values each",
        "each": "axes, with a list of values each",
        "method": "axes with one value each, method among them",
        "against": "axes with one value each, method among them; for a control, also a list of such",
    }.get(key, "a text that is not empty" if key in ("name", "sentence", "source", "family") else "a table of keys")
