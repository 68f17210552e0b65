"""Names in the environment of a record: of findings that stand beside the doctor's, and of files of a user's own."""

from typing import Final

SETTINGS_CHECK: Final = "torch settings"  # a cell changed torch's settings
RULE_CHECK: Final = "training rule"  # a rule does not do what a rule has to
OWN_FILES: Final = "own_files"  # beside the doctor: the version of each file that a cell names
