"""The browser and the pages that the browser tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import launched
from made_page import write_many_cells, write_page
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two figures, a table and twelve records, whose names hold what HTML and scripts treat specially."""
    return write_page(tmp_path_factory.mktemp("made") / "a page.html")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 10,000 records, whose samples are in a file beside it."""
    return write_many_cells(tmp_path_factory.mktemp("many") / "many.html", 10_000)
