"""Options and fixtures that all tests share."""

import gc
import os

# One thread adds sums up in one order, as when the golden vectors were recorded. The tests' steps are tiny: a second
# thread makes them no faster, and much slower on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"
# Folders of images that tests write are not kept in the cache of whoever runs them.
os.environ["SID_BENCH_CACHE"] = "off"
# xdist gives its workers a width, which a console keeps from when it is made; tests say how wide theirs is.
os.environ.pop("COLUMNS", None)

import pytest
from hypothesis import settings


@pytest.fixture(autouse=True, scope="module")
def frozen_objects() -> None:
    """Hides what is loaded from the garbage collector: each measurement collects, which visits a million objects."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that make test leaves to make test-long")
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--gate", action="store_true", help="tests/benchmarks: judge bytes and times by the baseline")


def pytest_configure(config: pytest.Config) -> None:
    """Property tests that do not say how many examples they try take a third of hypothesis's usual number."""
    settings.register_profile("quick", max_examples=35, deadline=None)
    settings.register_profile("thorough", deadline=None)
    settings.load_profile("thorough" if config.getoption("--slow") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark in ("long", "slow"):
        if not config.getoption(f"--{mark}"):
            skip = pytest.mark.skip(reason=f"{mark}: run with --{mark}")
            for item in items:
                if mark in item.keywords:
                    item.add_marker(skip)
