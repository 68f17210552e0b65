"""The table of all cells, the panel of one cell, and the state in the address."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from chromium import MARKS, downloaded, opened
from made_page import METHODS, SPECIAL
from playwright.sync_api import Browser, Page, expect

pytestmark = MARKS

ABSENT = "\N{EN DASH}"


def stored(made: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made.with_name("records.jsonl").read_text().splitlines()]


def column(page: Page, title: str) -> list[str]:
    """Returns the texts of a column of the table of all cells."""
    headers = page.locator(".grid thead th").all_inner_texts()
    return page.locator(
        f".grid tr[aria-rowindex] > :nth-child({headers.index(title) + 1}):is(td, tbody th)"
    ).all_inner_texts()


def test_headers_sort_up_then_down_then_not_at_all(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        header = page.locator(".grid").get_by_role("columnheader", name="step / BP")
        in_order = column(page, "step / BP")
        ratios = sorted(float(text) for text in in_order if text != ABSENT)
        assert in_order[-1] == ABSENT
        for direction, wanted in (("ascending", ratios), ("descending", ratios[::-1])):
            header.get_by_role("button").click()
            assert header.get_attribute("aria-sort") == direction
            texts = column(page, "step / BP")
            assert texts[-1] == ABSENT
            assert [float(text) for text in texts[:-1]] == wanted
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") is None
        assert column(page, "step / BP") == in_order
        assert "sort" not in page.url


def test_words_terms_and_lists_find_cells(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        find = page.get_by_role("searchbox", name="Find cells")
        count = page.locator("#cells").get_by_text("of 12 records")
        for query, found in (
            ("sid-streamed", 4),
            ("depth>=8", 6),
            ("depth>=8 method=bp status=ok", 3),
            ("latency.ratio_to_bp<0.6", 1),
            ("status!=ok", 1),
            (f'message="{SPECIAL}"'.replace('"it', '\\"it').replace('s" ', 's\\" '), 1),
            ("nothing-like-this", 0),
            ("no_such_column=1", 0),
            ("", 12),
        ):
            find.fill(query)
            assert count.inner_text() == f"{found} of 12 records", query
            assert page.locator(".grid tbody a").count() == found
        page.locator(".find").get_by_label("method").select_option("sid-streamed")
        assert find.input_value() == "series=sid-streamed"
        page.locator(".find").get_by_label("method").select_option("bp recompute modules")
        assert find.input_value() == 'series="bp recompute modules"'
        assert count.inner_text() == "4 of 12 records"
        page.locator(".find").get_by_label("method").select_option("any")
        assert find.input_value() == ""


def test_columns_are_chosen_and_csv_holds_the_rows_that_are_found_exactly(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#find=method=bp") as page:
        page.locator("#cells").get_by_text("Columns", exact=True).click()
        page.get_by_role("checkbox", name="environment.memory bytes").check()
        page.get_by_role("checkbox", name="dataset", exact=True).or_(page.get_by_label("cell.dataset")).first.uncheck()
        assert "environment.memory bytes" in page.locator(".grid thead th").all_inner_texts()
        name, content = downloaded(page, "CSV of these rows")
        assert name == "a page.csv"
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        records = {record["id"]: record for record in stored(made) if record["cell"]["method"] == "bp"}
        assert [row["id"] for row in rows] == list(records)
        assert "cell.dataset" not in rows[0]
        for row in rows:
            record = records[row["id"]]
            assert row["environment.memory_bytes"] == str(2**53 + 1)
            assert row["message"] == (record["message"] or "")
            if record["latency"]:
                assert float(row["latency.ratio_to_bp"]) == record["latency"]["ratio_to_bp"]
                assert int(row["memory.peak_activation_bytes"]) == record["memory"]["peak_activation_bytes"]
            else:
                assert row["latency.ratio_to_bp"] == row["memory.peak_activation_bytes"] == ""
        _, content = downloaded(page, "CSV, all columns")
        assert "environment.cpu" in content.decode().splitlines()[0]


def test_all_records_are_saved_as_they_were_stored(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#find=method=bp") as page:
        name, content = downloaded(page, "All records as JSONL")
        assert name == "a page.jsonl"
        assert [json.loads(line) for line in content.decode().splitlines()] == stored(made)


def test_a_permalink_opens_the_panel_of_its_cell(browser: Browser, made: Path) -> None:
    record = stored(made)[5]
    with opened(browser, made, f"#cell={record['id']}") as page:
        panel = page.get_by_role("dialog")
        heading = panel.get_by_role("heading", level=3)
        assert "sid-streamed" in heading.inner_text()
        assert heading.evaluate("e => e === document.activeElement")
        fields = dict(
            zip(
                panel.locator("th[scope='row']:visible").all_inner_texts(),
                panel.locator("td:visible").all_inner_texts(),
                strict=False,
            )
        )
        assert fields["ratio to bp"] == repr(record["latency"]["ratio_to_bp"])
        assert fields["peak activation bytes"] == "400,001 (391 KiB)"
        panel.get_by_text("environment", exact=True).click()
        assert panel.get_by_role("row", name="cpu <b>").inner_text().split("\t")[1] == SPECIAL
        assert panel.get_by_role("row", name="memory bytes").inner_text().split("\t")[1] == str(2**53 + 1)
        assert panel.get_by_role("row", name="nested.a.b.c.d").count() == 1
        drawing = panel.get_by_role("img", name="BP again: 2 values from 0.02 to 0.03")
        assert drawing.is_visible()
        _, content = downloaded(page, "Download JSON")
        assert json.loads(content) == record
        panel.get_by_role("button", name="Next").click()
        assert page.url.endswith(f"#cell={stored(made)[6]['id']}")
        panel.get_by_role("button", name="Previous").click()
        assert page.url.endswith(f"#cell={record['id']}")
        panel.get_by_role("button", name="Close").click()
        expect(panel).not_to_be_visible()
        assert "cell=" not in page.url
        page.go_back()
        expect(panel).to_be_visible()


def test_an_id_that_no_record_has_is_named(browser: Browser, made: Path) -> None:
    with opened(browser, made, "#cell=no.such<id>") as page:
        assert page.get_by_role("dialog").get_by_text("No record of this page has the id no.such<id>.").is_visible()


def test_texts_are_copied_with_the_permission_and_without(browser: Browser, made: Path) -> None:
    record = stored(made)[1]
    for permissions in (["clipboard-read", "clipboard-write"], ["clipboard-read"]):
        with opened(browser, made, f"#cell={record['id']}", permissions=permissions) as page:
            if len(permissions) == 1:
                page.evaluate(
                    "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no permission')) }"
                )
            page.get_by_role("button", name="Copy the command").click()
            expect(page.get_by_role("dialog").get_by_text("Copied", exact=True)).to_be_visible()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied.startswith("sid-bench run --set method=bp ")
            assert copied.endswith(f"--out results/{record['id']}.jsonl")


def test_the_address_restores_the_page(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        page.locator("#figure-one").get_by_role("combobox").select_option(label="depth 8")
        page.locator("#other").get_by_role("button", name="Table").click()
        page.get_by_role("region", name="Highlight methods").get_by_role("button", name="bp", exact=True).click()
        page.get_by_role("button", name="value", exact=True).click()
        page.get_by_role("searchbox", name="Filter the rows of the table").fill("row")
        page.locator(".grid").get_by_role("button", name="depth").click()
        page.get_by_role("searchbox", name="Find cells").fill("depth<=4 & 100%")
        page.get_by_role("searchbox", name="Find cells").fill("depth<=4")
        page.locator("#figure-one .view[data-view='third']").wait_for()
        page.locator("#other table").wait_for()
        address = page.url
        before = page.locator("main").inner_text()
    with opened(browser, made, "#" + address.partition("#")[2]) as page:
        page.locator("#figure-one .view[data-view='third']").wait_for()
        page.locator("#other table").wait_for()
        assert page.locator("main").inner_text() == before
        assert page.locator(".chip[aria-pressed='true']").all_inner_texts() == ["bp"]
        assert page.url == address
        assert "depth<=4" in unquote(address)
        rows = page.locator("#numbers tbody tr:visible")
        assert rows.count() == 9


def test_a_sortable_table_sorts_numbers_and_leaves_absent_ones_last(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        sort = page.get_by_role("button", name="value", exact=True)
        cells = page.locator("#numbers tbody td")
        sort.click()
        assert cells.all_inner_texts()[:4] == ["-1.5", "0.25", "9", "10"]
        assert cells.all_inner_texts()[-2:] == ["1,200 [1,100, 1,300]", ABSENT]
        sort.click()
        assert cells.all_inner_texts()[0] == "1,200 [1,100, 1,300]"
        assert cells.all_inner_texts()[-1] == ABSENT
        page.locator("#numbers").get_by_role("searchbox").fill("<B>&AMP;")
        assert page.locator("#numbers tbody tr:visible th").all_inner_texts() == [SPECIAL]


def test_every_method_has_a_chip_of_its_colour(browser: Browser, made: Path) -> None:
    with opened(browser, made) as page:
        colours = page.locator(".chip").evaluate_all(
            """all => Object.fromEntries(
                all.map(e => [e.dataset.series, getComputedStyle(e, '::before').backgroundColor])
            )"""
        )
        for method, colour in METHODS.items():
            channels = ", ".join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))
            assert colours[method] == f"rgb({channels})"


def test_numbers_of_cells_are_seen_on_a_narrow_screen(browser: Browser, made: Path) -> None:
    columns = "label,cell.network,cell.dataset,cell.depth,cell.modules,cell.batch_size"
    with opened(browser, made, f"#columns={columns}", width=400) as page:
        row = page.locator(".grid tbody:not([aria-hidden]) tr").first
        name, number = row.locator("th"), row.locator("td").nth(2)
        page.locator(".grid").evaluate("e => e.scrollLeft = 200")
        box = name.bounding_box()
        assert box is not None
        assert box["width"] <= 180
        number.scroll_into_view_if_needed()
        seen = number.bounding_box()
        assert seen is not None
        assert box["x"] + box["width"] <= seen["x"]
        assert seen["x"] + seen["width"] <= 400
