"""The commands of the pages that take longest."""

from pathlib import Path

import pytest
from docs_pages import LONGEST, assert_commands_run


@pytest.mark.parametrize("page", LONGEST, ids=lambda page: page.name)
def test_its_commands_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert_commands_run(page, tmp_path, with_all_methods=request.config.getoption("--slow"))


def test_the_pages_are_there() -> None:
    assert len(LONGEST) == 3
