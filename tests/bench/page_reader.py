"""What a report's page holds, for tests."""

import re
from pathlib import Path
from typing import Any

from bench.report.data.block import decode
from bench.report.data.columns import records_of


def block_of(page: Path) -> dict[str, Any]:
    """The data block of the page."""
    found = re.search(r'<script type="application/json" id="data">([^<]*)</script>', page.read_text())
    assert found is not None, "the page has no data block"
    block: dict[str, Any] = decode(found[1])
    return block


def records_in_page(page: Path) -> list[dict[str, Any]]:
    """The records of the page, from its data block and the file beside it."""
    block = block_of(page)
    raw = block["raw"]
    if raw is None:
        script = (page.parent / block["raw_file"]).read_text()
        raw = decode(script.removeprefix('sidBenchRaw("').removesuffix('");\n'))
    return records_of(block["count"], block["columns"], raw)


def shown_text(page: Path) -> str:
    """The page without style, scripts and data."""
    return re.sub(r"<style>.*?</style>|<script\b.*?</script>", "", page.read_text(), flags=re.DOTALL)
