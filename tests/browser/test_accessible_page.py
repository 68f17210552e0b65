"""axe-core finds no violation above minor ones."""

from pathlib import Path

import pytest
from checks import AXE, violations
from chromium import MARKS, opened
from playwright.sync_api import Browser

OPEN = "all => all.forEach(details => { details.open = true })"

pytestmark = [*MARKS, pytest.mark.skipif(not AXE.exists(), reason="no axe-core: make lint installs it with npm")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_has_no_violations(browser: Browser, made: Path, scheme: str, width: int) -> None:
    with opened(browser, made, "#show.other=table", width=width, color_scheme=scheme) as page:
        page.locator("#cells").get_by_text("Columns", exact=True).click()
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_panel_of_a_cell_has_none_either(browser: Browser, made: Path, scheme: str) -> None:
    with opened(browser, made, color_scheme=scheme) as page:
        page.locator(".grid tbody a").first.click()
        panel = page.get_by_role("dialog")
        panel.locator(".raw summary").first.wait_for()
        panel.locator("details").evaluate_all(OPEN)
        assert violations(page) == []
