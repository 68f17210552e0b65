"""The names of findings that stand beside the doctor's in the environment of a record."""

from typing import Final

SETTINGS_CHECK: Final = "torch settings"  # a cell changed torch's settings
RULE_CHECK: Final = "training rule"  # a rule does not do what a rule has to
