"""The claims in a TOML file: those of the paper come with the package."""

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from bench.analysis.inference.claim import Claim
from bench.errors import ConfigError, unknown

_OF_THE_PAPER = resources.files("bench.analysis.inference") / "claims.toml"


def load_claims(path: Path | None = None) -> tuple[Claim, ...]:
    """Return the claims in the file at ``path``, or those of the paper, in their order.

    A file has one or more tables ``[[claim]]``, whose keys are the fields of
    :class:`bench.analysis.inference.claim.Claim`.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or a claim is not legal or its name not the only one.
    """
    name = "claims.toml" if path is None else str(path)
    try:
        content = tomllib.loads((_OF_THE_PAPER if path is None else path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the claims {name}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not a TOML file: {error}") from None
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
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise ConfigError(f"{label}: {field + ': ' if field else ''}{problem['msg']}") from None
        if claim.name in claims:
            raise ConfigError(f"{label} occurs twice; legal: each name once")
        claims[claim.name] = claim
    return tuple(claims.values())
