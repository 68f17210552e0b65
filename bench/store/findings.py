"""Names in the environment of a record: of findings that stand beside the doctor's, and of files of a user's own."""

from collections.abc import Mapping
from typing import Any, Final

SETTINGS_CHECK: Final = "torch settings"  # a cell changed torch's settings
RULE_CHECK: Final = "training rule"  # a rule does not do what a rule has to
OWN_FILES: Final = "own_files"  # beside the doctor: the version of each file of one's own


def own_files_in(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each file of a user's own that a record names; empty where it names none."""
    found = environment.get(OWN_FILES)
    return {str(file): str(version) for file, version in found.items()} if isinstance(found, dict) else {}
