"""Headless Chromium for tests, controlled by playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install it, or name it in the variable CHROMIUM"),
]

_TIMEOUT_MILLISECONDS = 120_000  # a busy machine opens a page in tens of seconds


@contextmanager
def launched() -> Iterator[Browser]:
    """Yields a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path | None, hash_: str = "", width: int = 1280, expected: str | None = None, **options: Any
) -> Iterator[Page]:
    """Yields ``file`` opened at ``hash_``, and fails if the page then writes to the console or throws an error.

    Args:
        browser: opens the page in a context of its own.
        file: the page; None opens none yet.
        hash_: of the address, with its ``#``.
        width: of the window in pixels.
        expected: what messages of the console may contain.
        options: of the context.
    """
    viewport = {"width": width, "height": 900}
    context = browser.new_context(accept_downloads=True, viewport=viewport, **({"offline": True} | options))
    context.set_default_timeout(_TIMEOUT_MILLISECONDS)
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    if file is not None:
        page.goto(file.as_uri() + hash_)
        page.locator(".grid tbody a, #all-cells .warning, dialog[open]").first.wait_for()
    yield page
    context.close()
    assert [problem for problem in problems if expected is None or expected not in problem] == []


def downloaded(page: Page, button: str) -> tuple[str, bytes]:
    """Returns the name and the content of the file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).locator("visible=true").first.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()
